/**
 * The words of a call as they come, and all that concerns them: how late they are, what is wrong,
 * what was looked out for, and the way back to the end. Fills the height that it is given.
 */
import { useMemo, useRef } from 'react';
import { listenAgain, useLiveCall, useRefusal } from '../live/store';
import { usePreference } from '../settings/preferences';
import { t } from '../strings';
import { Button, Empty } from '../ui/controls';
import { Icon } from '../ui/icons';
import { asText, countShown, settledIn } from './figures';
import { markerOf } from './keywords';
import css from './LiveTranscript.module.css';
import { SpokenLog } from './SpokenLog';
import { SegmentList } from './Transcript';
import { TranscriptBar } from './TranscriptBar';
import { TroubleNote } from './TroubleNote';
import { useCallRecord, useNames } from './useCallRecord';
import { useFollow } from './useFollow';

export function LiveTranscript({ callSid }: { callSid: string }) {
  // Listened to as long as this is there: also while it is refused.
  useLiveCall(callSid, (call) => call.sid);
  const refusal = useRefusal(callSid);
  if (!refusal) return <Words callSid={callSid} />;
  return (
    <Empty
      title={t.call.trouble.refused}
      action={<Button onClick={() => listenAgain(callSid)}>{t.ui.retry}</Button>}
    >
      {refusal.message}
    </Empty>
  );
}

function Words({ callSid }: { callSid: string }) {
  const lines = useLiveCall(callSid, (call) => call.lines);
  const ended = useLiveCall(callSid, (call) => call.ended !== null);
  const names = useNames(callSid);
  const keywords = usePreference('keywords');
  const marker = useMemo(() => markerOf(keywords), [keywords]);
  const scroller = useRef<HTMLElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const { follows, jump } = useFollow(scroller, content);
  const isEmpty = !lines?.some((chunk) => chunk.some(({ kind }) => kind !== 'gone'));
  return (
    <div className={css.transcript}>
      <TranscriptBar
        callSid={callSid}
        marker={marker}
        keywords={keywords}
        textOf={() => asText(settledIn(lines ?? []), names)}
      />
      <div className={css.view}>
        <TroubleNote callSid={callSid} />
        <section
          ref={scroller}
          className={css.scroller}
          aria-label={t.call.words.label}
          // Scrolled by keyboard, too.
          // biome-ignore lint/a11y/noNoninteractiveTabindex: see above
          tabIndex={0}
        >
          <div ref={content}>
            {isEmpty ? (
              <Listening callSid={callSid} isOver={ended === true} />
            ) : (
              <SegmentList lines={lines ?? []} names={names} marker={marker} />
            )}
          </div>
        </section>
        {!follows && <JumpToLive callSid={callSid} onJump={jump} />}
      </div>
      <SpokenLog callSid={callSid} names={names} />
    </div>
  );
}

function Listening({ callSid, isOver }: { callSid: string; isOver: boolean }) {
  const { data: record } = useCallRecord(callSid);
  const { words } = t.call;
  if (record?.transcript === 'off') return <Empty title={words.off}>{words.offHint}</Empty>;
  if (isOver) return <Empty title={words.none} />;
  return <Empty title={words.listening}>{words.listeningHint}</Empty>;
}

/** The way back to the end; counts what has settled since the reader left it. */
function JumpToLive({ callSid, onJump }: { callSid: string; onJump: () => void }) {
  const shown = useLiveCall(callSid, (call) => countShown(call.segments)) ?? 0;
  const shownBefore = useRef(shown);
  return (
    <Button className={css.jump ?? ''} onClick={onJump}>
      <Icon name="down" />
      {t.call.words.jump(Math.max(0, shown - shownBefore.current))}
    </Button>
  );
}
