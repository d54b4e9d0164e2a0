/**
 * The states of the phone that the texts explain. They are defined here, below `phone/`, because both
 * the texts and the code that detects the states need them.
 */

/** Causes of a phone error that call for different advice. */
export type PhoneErrorCause =
  | 'no-internet'
  | 'no-line'
  /** The connection never came up, so nothing reconnects automatically. */
  | 'line-not-up'
  | 'line-blocked'
  | 'token-refused'
  | 'token-expired'
  | 'account'
  | 'app'
  | 'identity'
  | 'too-often'
  | 'bad-request'
  | 'no-media'
  | 'no-permission'
  | 'no-microphone'
  | 'microphone-busy'
  | 'insecure-page'
  | 'no-webrtc'
  | 'not-found'
  | 'unavailable'
  | 'busy'
  | 'declined'
  | 'gone'
  | 'timed-out'
  | 'sdk-not-loaded'
  | 'server'
  | 'unknown';

/** How a call ended. */
export type CallEnding =
  | 'you-hung-up'
  | 'they-hung-up'
  | 'cancelled'
  | 'busy'
  | 'no-answer'
  | 'declined'
  | 'not-connected'
  | 'connection-lost'
  | 'caller-gone'
  | 'no-line'
  | 'bad-number'
  | 'country-not-allowed'
  | 'special-number'
  | 'emergency-number'
  | 'too-many-calls'
  | 'too-many-calls-of-user'
  | 'too-often'
  | 'too-many-today'
  | 'too-long-today'
  | 'not-set-up'
  | 'unknown-user';

/** How good the connection of a call is. */
export type QualityLevel = 'good' | 'fair' | 'poor';

/** Why the connection is not good. */
export type QualityReason =
  | 'no-connection'
  | 'hears-nothing'
  | 'not-heard'
  | 'loses-packets'
  | 'slow'
  | 'uneven'
  | 'microphone-flat'
  | 'low-score';
