/** The other party of a call, for people. Pure. */
import type { CallRecord } from '../api/types';
import { otherParty } from '../call/parties';
import { t } from '../strings';

type Parties = Pick<CallRecord, 'direction' | 'from' | 'to'>;

export const nameOf = (call: Parties, formatParty: (party: string) => string) =>
  formatParty(otherParty(call)) || t.calls.unknownParty;

/** Where the other party is called back; null for who has no number. */
export function callBackPath(call: Parties): string | null {
  const party = otherParty(call);
  return /^\+\d{3,15}$/.test(party) ? `/?to=${encodeURIComponent(party)}` : null;
}

/** How long a call was talked, or lasted; null while it lasts. */
export function lengthMs(
  call: Pick<CallRecord, 'durationSeconds' | 'answeredAt' | 'endedAt'>,
): number | null {
  if (call.durationSeconds != null) return call.durationSeconds * 1_000;
  if (!call.answeredAt || !call.endedAt) return null;
  return Math.max(0, Date.parse(call.endedAt) - Date.parse(call.answeredAt));
}

/** Why it ended, in a sentence; null when there is no more to say than its outcome. */
export function causeOf(call: Pick<CallRecord, 'endCause'>): string | null {
  const cause = call.endCause;
  if (!cause) return null;
  const sip = /^sip_(\d+)$/.exec(cause)?.[1];
  if (sip) return t.calls.sipCause(sip);
  return t.calls.cause[cause] ?? cause.replaceAll('_', ' ');
}
