/** The record of a call, and the names of its parties. */
import { useQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import { ApiError } from '../api/client';
import { callQuery, sessionQuery } from '../api/queries';
import type { CallDetail } from '../api/types';
import { useFormatParty } from '../numbers/format';
import { t } from '../strings';
import { type Names, otherParty } from './party';

/** The server may not know a call yet that this page has just placed. */
const RETRIES_MAX = 3;

/** Drops the transcript, which the link delivers live. */
function recordOf({ segments: _, events: __, legs: ___, recordings: ____, ...record }: CallDetail) {
  return record;
}

export function useCallRecord(callSid: string) {
  return useQuery({
    ...callQuery(callSid),
    select: recordOf,
    retry: (failures, error) =>
      failures < RETRIES_MAX &&
      error instanceof ApiError &&
      (error.status === 0 || error.code === 'no_such_call'),
    // The response contains the whole transcript.
    refetchOnWindowFocus: false,
  });
}

/** The formatted name of the other party. */
export function useOtherName(callSid: string): string {
  const { data } = useCallRecord(callSid);
  const format = useFormatParty();
  return (data && format(otherParty(data))) || t.call.other;
}

export function useNames(callSid: string): Names {
  const customer = useOtherName(callSid);
  const { data: record } = useCallRecord(callSid);
  const { data: session } = useQuery(sessionQuery);
  // Admins may follow the calls of other users.
  const isOtherUser = record?.userId != null && session?.user && record.userId !== session.user.id;
  const agent = isOtherUser ? t.call.agent : t.call.you;
  return useMemo(() => ({ agent, customer }), [agent, customer]);
}
