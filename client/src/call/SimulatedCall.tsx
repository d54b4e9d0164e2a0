/**
 * A call that this page does not carry: a recorded one that is played to the engine, or one that
 * goes on elsewhere. Its words and its recording, and no sound; at its end, what became of it.
 */
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';
import { Link } from 'wouter';
import { messageOf } from '../api/client';
import { callQuery, simulationQuery } from '../api/queries';
import type { CallStatus } from '../api/types';
import { clockTime } from '../format';
import { isOver } from '../history/outcome';
import type { LiveCall } from '../live/call';
import { useLiveCall } from '../live/store';
import { t } from '../strings';
import { Empty } from '../ui/controls';
import { CallFrame } from './CallFrame';
import { countShown, countWords } from './figures';
import { RecordingControl } from './RecordingControl';
import css from './SimulatedCall.module.css';
import { useCallRecord, useOtherName } from './useCallRecord';

export function SimulatedCall({ callSid }: { callSid: string }) {
  const record = useCallRecord(callSid);
  const name = useOtherName(callSid);
  const live = useLiveCall(callSid, (call) => call.status);
  const isDone = useLiveCall(callSid, isOverNow) ?? isEnd(record.data?.status);
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
      state={<WatchedState status={live ?? record.data?.status} isDone={isDone} />}
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
        {isDone && !isEnd(status) ? t.call.watch.over : status && t.call.status[status]}
      </span>
      {!isDone && simulation && <span>{about}</span>}
    </>
  );
}

/** What was said, in figures, and where all of it is kept. */
function Summary({ callSid }: { callSid: string }) {
  const queries = useQueryClient();
  const { data: record } = useCallRecord(callSid);
  const lines = useLiveCall(callSid, (call) => countShown(call.segments)) ?? 0;
  const words = useLiveCall(callSid, (call) => countWords(call.segments)) ?? 0;
  // Its length is known only now.
  useEffect(() => {
    void queries.invalidateQueries({ queryKey: callQuery(callSid).queryKey });
  }, [queries, callSid]);
  return (
    <div className={css.summary}>
      <dl className={css.figures}>
        {record?.durationSeconds != null && (
          <Figure name={t.call.watch.lasted} value={clockTime(record.durationSeconds * 1_000)} />
        )}
        <Figure name={t.call.watch.lines} value={String(lines)} />
        <Figure name={t.call.watch.words} value={String(words)} />
      </dl>
      <Link className={css.open} href={`/calls/${callSid}`}>
        {t.call.watch.toPage}
      </Link>
    </div>
  );
}

const Figure = ({ name, value }: { name: string; value: string }) => (
  <div>
    <dt>{name}</dt>
    <dd>{value}</dd>
  </div>
);

/** Its words have ended, and it is not said to go on: other streams may follow one that ended. */
const isOverNow = (call: LiveCall) =>
  isEnd(call.status) || (call.ended !== null && call.status === null);

const isEnd = (status: CallStatus | null | undefined) => status != null && isOver(status);
