/** What the server keeps of a call beside its words, and who is who in it. */
import { useQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import { ApiError } from '../api/client';
import { callQuery, sessionQuery } from '../api/queries';
import type { CallDetail } from '../api/types';
import { useFormatParty } from '../numbers/format';
import { t } from '../strings';
import { otherParty } from './parties';
import type { Names } from './TranscriptLine';

/** A call that this page has just placed may be known to the server a moment later. */
const RETRIES_MAX = 3;

/** The record without the words, which the channel brings. */
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
    // An hour of words comes with it.
    refetchOnWindowFocus: false,
  });
}

/** The other party, for people. */
export function useOtherName(callSid: string): string {
  const { data } = useCallRecord(callSid);
  const format = useFormatParty();
  return (data && format(otherParty(data))) || t.call.other;
}

export function useNames(callSid: string): Names {
  const customer = useOtherName(callSid);
  const { data: record } = useCallRecord(callSid);
  const { data: session } = useQuery(sessionQuery);
  // An admin may listen to what another user says.
  const isOthers = record?.userId != null && session?.user && record.userId !== session.user.id;
  const agent = isOthers ? t.call.agent : t.call.you;
  return useMemo(() => ({ agent, customer }), [agent, customer]);
}
