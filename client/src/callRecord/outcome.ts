/** The outcome of a call, in a few categories. Pure. */
import type { CallDetail, CallRecord, CallStatus } from '../api/types';

export type Outcome =
  | 'ongoing'
  | 'ringing'
  | 'answered'
  /** An incoming call that nobody answered. */
  | 'missed'
  | 'unanswered'
  | 'busy'
  | 'canceled'
  | 'failed'
  /** This server refused to connect the call. */
  | 'refused';

type OutcomeFields = Pick<CallRecord, 'direction' | 'status' | 'endCause'>;

/** Whether the status is final. */
export function isFinalStatus(status: CallStatus): boolean {
  switch (status) {
    case 'queued':
    case 'initiated':
    case 'ringing':
    case 'in-progress':
      return false;
    case 'completed':
    case 'busy':
    case 'no-answer':
    case 'canceled':
    case 'failed':
      return true;
    default:
      return status satisfies never;
  }
}

/** The end causes that this server sets when it refuses to connect a call. */
const REFUSALS: ReadonlySet<string> = new Set([
  'refused',
  'bad_number',
  'country_not_allowed',
  'special_number',
  'emergency_number',
  'too_many_calls',
  'too_many_calls_of_user',
  'too_often',
  'too_many_today',
  'too_long_today',
  'nobody_home',
  'not_set_up',
  'unknown_user',
]);

export function outcomeOf({ direction, status, endCause }: OutcomeFields): Outcome {
  if (isFinalStatus(status) && endCause && REFUSALS.has(endCause)) return 'refused';
  switch (status) {
    case 'in-progress':
      return 'ongoing';
    case 'queued':
    case 'initiated':
    case 'ringing':
      return 'ringing';
    case 'completed':
      return 'answered';
    case 'busy':
      return 'busy';
    case 'no-answer':
      return direction === 'incoming' ? 'missed' : 'unanswered';
    case 'canceled':
      return direction === 'incoming' ? 'missed' : 'canceled';
    case 'failed':
      return 'failed';
    default:
      return status satisfies never;
  }
}

/** Whether the call failed to become a conversation, and deserves attention. */
export const isUnsuccessful = (outcome: Outcome) =>
  outcome === 'missed' || outcome === 'failed' || outcome === 'refused';

/** A shown call is fetched again at this interval until it is complete. */
export const REFRESH_EVERY_MS = 2_000;

/** The transcript and recordings are complete within this time after the end of the call. */
export const SETTLES_WITHIN_MS = 120_000;

/** The interval until the next fetch; false: the call is complete. */
export function refreshMs(
  call: Pick<CallDetail, 'status' | 'transcript' | 'recording' | 'endedAt'>,
  now: number,
): number | false {
  if (!isFinalStatus(call.status)) return REFRESH_EVERY_MS;
  const isComplete =
    call.transcript !== 'live' &&
    call.transcript !== 'waiting' &&
    !isRecordingPending(call.recording);
  const endedMs = call.endedAt ? now - Date.parse(call.endedAt) : Number.POSITIVE_INFINITY;
  return isComplete || endedMs > SETTLES_WITHIN_MS ? false : REFRESH_EVERY_MS;
}

/** Whether Twilio is still processing a recording. */
const isRecordingPending = (recording: CallDetail['recording']) =>
  recording === 'in-progress' || recording === 'paused' || recording === 'stopped';
