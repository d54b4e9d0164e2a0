/** The parties of a call, and what each is called. Pure. */
import type { CallRecord, Speaker } from '../api/types';
import { t } from '../strings';

type Parties = Pick<CallRecord, 'direction' | 'from' | 'to'>;

/** The display name of each speaker. */
export type Names = Readonly<Record<Speaker, string>>;

/** The other party: a telephone number, or the name of a browser client. */
export const otherParty = (call: Parties) => (call.direction === 'outgoing' ? call.to : call.from);

export const nameOf = (call: Parties, formatParty: (party: string) => string) =>
  formatParty(otherParty(call)) || t.calls.unknownParty;

/** The path that dials the other party; null if it has no number. */
export function callBackPath(call: Parties): string | null {
  const party = otherParty(call);
  return /^\+\d{3,15}$/.test(party) ? `/?to=${encodeURIComponent(party)}` : null;
}

/** The talk time of an ended call; null if unknown. */
export function lengthMs(
  call: Pick<CallRecord, 'durationSeconds' | 'answeredAt' | 'endedAt'>,
): number | null {
  if (call.durationSeconds != null) return call.durationSeconds * 1_000;
  if (!call.answeredAt || !call.endedAt) return null;
  return Math.max(0, Date.parse(call.endedAt) - Date.parse(call.answeredAt));
}

/** A sentence on why the call ended; null if the outcome says it all. */
export function causeOf(call: Pick<CallRecord, 'endCause'>): string | null {
  const cause = call.endCause;
  if (!cause) return null;
  const sip = /^sip_(\d+)$/.exec(cause)?.[1];
  if (sip) return t.calls.sipCause(sip);
  return t.calls.cause[cause] ?? cause.replaceAll('_', ' ');
}
