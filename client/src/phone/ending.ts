/** Why a call is over, from what the browser saw and what the server says. Pure. */
import type { CallRecord, Direction } from '../api/types';
import type { Trouble } from './errors';
import type { EndedBy } from './phone';

/** Endings that are told apart, most in words of their own. */
export type Ending =
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

/** What the server refused a call for, in its words. */
const REFUSED: Readonly<Record<string, Ending>> = {
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

interface Seen {
  direction: Direction;
  by: EndedBy;
  trouble: Trouble | null;
  talkedMs: number;
}

/** The server knows of the other leg; without its word the browser's own counts. */
export function endingOf(
  { direction, by, trouble, talkedMs }: Seen,
  record: Pick<CallRecord, 'status' | 'endCause'> | undefined,
): Ending {
  const refused = record?.endCause ? REFUSED[record.endCause] : undefined;
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
  if (trouble?.cause === 'busy') return 'busy';
  if (trouble?.cause === 'declined') return 'declined';
  if (talkedMs > 0) return by === 'failure' ? 'connection-lost' : 'they-hung-up';
  // Nothing is wrong with the number where the line, or this browser, is at fault.
  if (trouble && trouble.cause !== 'not-found') return 'no-line';
  if (direction === 'incoming') return by === 'failure' ? 'no-line' : 'caller-gone';
  return 'not-connected';
}
