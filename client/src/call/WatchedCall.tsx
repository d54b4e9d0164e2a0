/**
 * A call that another page carries, or the simulated one: its transcript and recording controls
 * without audio, and a summary at the end.
 */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';
import { Link } from 'wouter';
import { messageOf } from '../api/client';
import { callQuery, simulationQuery } from '../api/queries';
import type { CallStatus } from '../api/types';
import { isFinalStatus } from '../callRecord/outcome';
import { useCallRecord, useOtherName } from '../callRecord/useCallRecord';
import { clockTime } from '../format/time';
import type { LiveCall } from '../live/call';
import { useLiveCall } from '../live/store';
import { t } from '../strings';
import { Empty } from '../ui/controls';
import { CallFrame } from './CallFrame';
import { countLines, countWords } from './liveStats';
import { RecordingControl } from './RecordingControl';
import css from './WatchedCall.module.css';

export function WatchedCall({ callSid }: { callSid: string }) {
  const record = useCallRecord(callSid);
  const name = useOtherName(callSid);
  const liveStatus = useLiveCall(callSid, (call) => call.status);
  const isDone = useLiveCall(callSid, hasEnded) ?? isFinal(record.data?.status);
  if (record.isError)
    return (
      <Empty
        title={messageOf(record.error)}
        action={<Link href="/">{t.call.watch.toPhone}</Link>}
      />
    );
  return (
    <CallFrame
      callSid={callSid}
      title={name}
      state={<WatchedState status={liveStatus ?? record.data?.status} isDone={isDone} />}
      controls={isDone ? <Summary callSid={callSid} /> : <RecordingControl callSid={callSid} />}
    />
  );
}

function WatchedState({ status, isDone }: { status: CallStatus | undefined; isDone: boolean }) {
  const { data: simulation } = useQuery(simulationQuery);
  const about = simulation?.available ? t.call.watch.simulated : t.call.watch.elsewhere;
  return (
    <>
      <span role="status">
        {isDone && !isFinal(status) ? t.call.watch.over : status && t.call.status[status]}
      </span>
      {!isDone && simulation && <span>{about}</span>}
    </>
  );
}

/** Statistics of the ended call, and the link to its page. */
function Summary({ callSid }: { callSid: string }) {
  const queries = useQueryClient();
  const { data: record } = useCallRecord(callSid);
  const lines = useLiveCall(callSid, (call) => countLines(call.segments)) ?? 0;
  const words = useLiveCall(callSid, (call) => countWords(call.segments)) ?? 0;
  // The record has its duration only now.
  useEffect(() => {
    void queries.invalidateQueries({ queryKey: callQuery(callSid).queryKey });
  }, [queries, callSid]);
  return (
    <div className={css.summary}>
      <dl className={css.figures}>
        {record?.durationSeconds != null && (
          <Stat name={t.call.watch.lasted} value={clockTime(record.durationSeconds * 1_000)} />
        )}
        <Stat name={t.call.watch.lines} value={String(lines)} />
        <Stat name={t.call.watch.words} value={String(words)} />
      </dl>
      <Link className={css.open} href={`/calls/${callSid}`}>
        {t.call.watch.toPage}
      </Link>
    </div>
  );
}

const Stat = ({ name, value }: { name: string; value: string }) => (
  <div>
    <dt>{name}</dt>
    <dd>{value}</dd>
  </div>
);

/**
 * Whether the call has ended. The end of the transcription alone does not tell while the status says
 * otherwise: another stream may follow.
 */
const hasEnded = (call: LiveCall) =>
  isFinal(call.status) || (call.ended !== null && call.status === null);

const isFinal = (status: CallStatus | null | undefined) => status != null && isFinalStatus(status);
