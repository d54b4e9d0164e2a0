/** Determines why a call ended, from what the browser saw and what the server reports. Pure. */
import type { CallRecord, Direction } from '../api/types';
import type { CallEnding } from '../strings/phoneStates';
import type { PhoneError } from './errors';
import type { EndedBy } from './phoneState';

/** Endings by the server's codes. */
const ENDING_BY_CODE: Readonly<Record<string, CallEnding>> = {
  bad_number: 'bad-number',
  country_not_allowed: 'country-not-allowed',
  special_number: 'special-number',
  emergency_number: 'emergency-number',
  too_many_calls: 'too-many-calls',
  too_many_calls_of_user: 'too-many-calls-of-user',
  too_often: 'too-often',
  too_many_today: 'too-many-today',
  too_long_today: 'too-long-today',
  not_set_up: 'not-set-up',
  unknown_user: 'unknown-user',
  busy: 'busy',
  no_answer: 'no-answer',
  declined: 'declined',
};

/** A call's end as the browser saw it. */
interface BrowserView {
  direction: Direction;
  by: EndedBy;
  error: PhoneError | null;
  talkedMs: number;
}

/** Prefers the server's record, which covers the other leg, to the browser's view. */
export function endingOf(
  { direction, by, error, talkedMs }: BrowserView,
  record: Pick<CallRecord, 'status' | 'endCause'> | undefined,
): CallEnding {
  const refused = record?.endCause ? ENDING_BY_CODE[record.endCause] : undefined;
  if (refused && by !== 'us') return refused;
  if (by === 'us') return talkedMs > 0 || direction === 'incoming' ? 'you-hung-up' : 'cancelled';
  switch (record?.status) {
    case 'busy':
      return 'busy';
    case 'no-answer':
      return 'no-answer';
    case 'failed':
      return direction === 'incoming' ? 'no-line' : 'not-connected';
    default:
      break;
  }
  if (error?.cause === 'busy') return 'busy';
  if (error?.cause === 'declined') return 'declined';
  if (talkedMs > 0) return by === 'failure' ? 'connection-lost' : 'they-hung-up';
  // The number is not at fault where the connection or this browser is.
  if (error && error.cause !== 'not-found') return 'no-line';
  if (direction === 'incoming') return by === 'failure' ? 'no-line' : 'caller-gone';
  return 'not-connected';
}
