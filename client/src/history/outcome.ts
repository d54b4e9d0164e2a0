/** How a call went, in the few ways that people tell apart. Pure. */
import type { CallDetail, CallRecord, CallStatus } from '../api/types';

export type Outcome =
  | 'ongoing'
  | 'ringing'
  | 'answered'
  /** Somebody called, and nobody took it. */
  | 'missed'
  | 'unanswered'
  | 'busy'
  | 'canceled'
  | 'failed'
  /** This server did not put it through. */
  | 'refused';

type Told = Pick<CallRecord, 'direction' | 'status' | 'endCause'>;

/** Whether nothing more will happen to it. */
export function isOver(status: CallStatus): boolean {
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

/** What this server itself says when it does not put a call through. */
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

export function outcomeOf({ direction, status, endCause }: Told): Outcome {
  if (isOver(status) && endCause && REFUSALS.has(endCause)) return 'refused';
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

/** A call that should have been a talk and was none. */
export const isTrouble = (outcome: Outcome) =>
  outcome === 'missed' || outcome === 'failed' || outcome === 'refused';

/** A call that is looked at is asked for again this often, until nothing of it changes any more. */
export const REFRESH_EVERY_MS = 2_000;

/** For so long after its end a call's last words and its sound may still be on their way. */
export const SETTLES_WITHIN_MS = 120_000;

/** When to ask for a call again; false: it is as it will be. */
export function refreshMs(
  call: Pick<CallDetail, 'status' | 'transcript' | 'recording' | 'endedAt'>,
  now: number,
): number | false {
  if (!isOver(call.status)) return REFRESH_EVERY_MS;
  const isSettled =
    call.transcript !== 'live' && call.transcript !== 'waiting' && !isComing(call.recording);
  const endedMs = call.endedAt ? now - Date.parse(call.endedAt) : Number.POSITIVE_INFINITY;
  return isSettled || endedMs > SETTLES_WITHIN_MS ? false : REFRESH_EVERY_MS;
}

/** Whether Twilio still makes a recording of it. */
const isComing = (recording: CallDetail['recording']) =>
  recording === 'in-progress' || recording === 'paused' || recording === 'stopped';
