/** Who is who in a call. Pure. */
import type { CallRecord } from '../api/types';

/** Who is at the other end: a number, or the name of a client. */
export const otherParty = (call: Pick<CallRecord, 'direction' | 'from' | 'to'>) =>
  call.direction === 'outgoing' ? call.to : call.from;
