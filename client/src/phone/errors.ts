/**
 * What went wrong, by the Voice SDK's and Twilio's error codes, the browser's own errors, and the
 * server's. Pure: the words are in `strings/phone.ts`. Sources:
 * <https://www.twilio.com/docs/api/errors> and the SDK's own list of errors.
 */
import { ApiError } from '../api/client';

/** Causes that mean different things to do. */
export type Cause =
  | 'no-internet'
  | 'no-line'
  /** It was never there: nobody tries again by itself. */
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

/** Something that went wrong, for people: its words by `cause`, and its code to look it up by. */
export interface Trouble {
  readonly cause: Cause;
  /** Twilio's, if it has one. */
  readonly code: number | null;
  /** In the server's own words, where it said more than we could. */
  readonly message: string | null;
}

const BY_CODE: Readonly<Record<number, Cause>> = {
  20101: 'token-refused',
  20104: 'token-expired',
  20151: 'token-refused',
  20157: 'token-refused',
  31000: 'no-line',
  31001: 'app',
  31002: 'declined',
  31003: 'no-media',
  31005: 'no-line',
  31008: 'gone',
  31009: 'no-line',
  31100: 'bad-request',
  31101: 'bad-request',
  31102: 'token-refused',
  31103: 'bad-request',
  31104: 'bad-request',
  31105: 'identity',
  31107: 'bad-request',
  31201: 'token-refused',
  31202: 'token-refused',
  31203: 'account',
  31204: 'token-refused',
  31205: 'token-expired',
  31206: 'too-often',
  31207: 'token-expired',
  31208: 'no-permission',
  31209: 'gone',
  31210: 'bad-request',
  31212: 'bad-request',
  31400: 'bad-request',
  31401: 'no-permission',
  31402: 'no-microphone',
  31403: 'account',
  31404: 'not-found',
  31480: 'unavailable',
  31486: 'busy',
  31487: 'gone',
  31500: 'no-line',
  31502: 'no-line',
  31503: 'no-line',
  31504: 'timed-out',
  31530: 'no-line',
  31600: 'busy',
  31603: 'declined',
  51003: 'identity',
  51004: 'identity',
  51007: 'token-refused',
  53000: 'no-line',
  53001: 'no-line',
  53400: 'no-media',
  53402: 'no-media',
  53405: 'line-blocked',
};

/** Of an error code that a browser may see. */
export function troubleOfCode(code: number): Trouble {
  return { cause: BY_CODE[code] ?? 'unknown', code, message: null };
}

/** Of what `getUserMedia` throws. */
const BY_NAME: Readonly<Record<string, Cause>> = {
  NotAllowedError: 'no-permission',
  PermissionDeniedError: 'no-permission',
  SecurityError: 'no-permission',
  NotFoundError: 'no-microphone',
  OverconstrainedError: 'no-microphone',
  NotReadableError: 'microphone-busy',
  AbortError: 'microphone-busy',
};

const plain = (cause: Cause, message: string | null = null): Trouble => ({
  cause,
  code: null,
  message,
});

export const trouble = plain;

/** Of anything that was thrown on the way to a call. */
export function troubleOf(thrown: unknown): Trouble {
  if (thrown instanceof ApiError)
    return thrown.status === 0 ? plain('no-internet') : plain('server', thrown.message);
  if (typeof thrown !== 'object' || thrown === null) return plain('unknown');
  if ('code' in thrown && typeof thrown.code === 'number' && thrown.code >= 20_000)
    return troubleOfCode(thrown.code);
  if (thrown instanceof TypeError && /import|module/i.test(thrown.message))
    return plain('sdk-not-loaded');
  const name = 'name' in thrown && typeof thrown.name === 'string' ? thrown.name : '';
  return plain(BY_NAME[name] ?? 'unknown');
}

/** Whether only another token helps: the SDK does not come back by itself. */
export const needsToken = ({ cause }: Trouble): boolean =>
  cause === 'token-expired' || cause === 'token-refused';
