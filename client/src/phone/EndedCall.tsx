/** Shows why a call ended, what to do about it, and where it is stored. */
import { useQuery } from '@tanstack/react-query';
import { useEffect, useRef } from 'react';
import { useLocation } from 'wouter';
import { callQuery } from '../api/queries';
import { isFinalStatus } from '../callRecord/outcome';
import { clockTime } from '../format/time';
import { useFormatParty } from '../numbers/format';
import { t } from '../strings';
import { Button } from '../ui/controls';
import css from './EndedCall.module.css';
import { endingOf } from './ending';
import { Problem } from './Problem';
import type { Call, Stage } from './phoneState';

type Ended = Extract<Stage, { name: 'ended' }>;

/** Twilio reports the end to the server a moment after the browser, so the server is polled. */
const ASK_EVERY_MS = 1_000;
const ASKS_MAX = 5;

export function EndedCall({
  call,
  stage,
  onCall,
  onDone,
}: {
  call: Call;
  stage: Ended;
  onCall: ((e164: string) => void) | undefined;
  onDone: () => void;
}) {
  const [, go] = useLocation();
  const record = useRecord(call.sid);
  const title = useRef<HTMLHeadingElement>(null);
  const party = useFormatParty()(call.party) || t.phone.incoming.unknown;
  const { ended } = t.phone;
  const words = t.phone.endings[endingOf({ ...stage, direction: call.direction }, record)];
  // The button that had the focus was removed.
  useEffect(() => title.current?.focus(), []);
  return (
    <section className={css.ended}>
      <p className={css.party}>{party}</p>
      <h2 ref={title} tabIndex={-1}>
        {words.title}
      </h2>
      {stage.talkedMs > 0 && <p>{ended.talked(clockTime(stage.talkedMs))}</p>}
      {words.hint && <p>{words.hint}</p>}
      {stage.error && <Problem error={stage.error} />}
      <div className={css.actions}>
        {call.party.startsWith('+') && onCall && (
          <Button look="primary" icon="phone" onClick={() => onCall(call.party)}>
            {ended.again}
          </Button>
        )}
        {record && (
          <Button icon="text" onClick={() => go(`/calls/${record.sid}`)}>
            {ended.open}
          </Button>
        )}
        <Button look="quiet" onClick={onDone}>
          {ended.done}
        </Button>
      </div>
    </section>
  );
}

/** Polls the server's record of the call until it includes the end. */
function useRecord(sid: string | null) {
  return useQuery({
    ...callQuery(sid ?? ''),
    enabled: sid !== null,
    staleTime: 0,
    refetchInterval: ({ state }) =>
      (state.data && isFinalStatus(state.data.status)) || state.dataUpdateCount >= ASKS_MAX
        ? false
        : ASK_EVERY_MS,
  }).data;
}
