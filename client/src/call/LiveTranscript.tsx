/**
 * The transcript of a live call, with its delay, its problems, its keywords and the way back to the
 * end. Fills the height of its container.
 */
import { useMemo, useRef } from 'react';
import { useCallRecord, useNames } from '../callRecord/useCallRecord';
import { listenAgain, useLiveCall, useRefusal } from '../live/store';
import { usePreference } from '../preferences/preferences';
import { t } from '../strings';
import { markerOf } from '../transcript/keywords';
import { asText } from '../transcript/plainText';
import { Button, Empty } from '../ui/controls';
import { Icon } from '../ui/icons';
import { AnnouncementLog } from './AnnouncementLog';
import css from './LiveTranscript.module.css';
import { countLines, finalSegments } from './liveStats';
import { SegmentList } from './SegmentList';
import { TranscriptBar } from './TranscriptBar';
import { TranscriptNotice } from './TranscriptNotice';
import { useFollow } from './useFollow';

export function LiveTranscript({ callSid }: { callSid: string }) {
  // Listens while mounted, also while the server refuses the call.
  useLiveCall(callSid, (call) => call.sid);
  const refusal = useRefusal(callSid);
  if (!refusal) return <Words callSid={callSid} />;
  return (
    <Empty
      title={t.call.problem.refused}
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
        textOf={() => asText(finalSegments(lines ?? []), names)}
      />
      <div className={css.view}>
        <TranscriptNotice callSid={callSid} />
        <section
          ref={scroller}
          className={css.scroller}
          aria-label={t.call.words.label}
          // biome-ignore lint/a11y/noNoninteractiveTabindex: it can be scrolled with the keyboard
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
      <AnnouncementLog callSid={callSid} names={names} />
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

/** The button back to the end; counts the lines that became final since the reader left it. */
function JumpToLive({ callSid, onJump }: { callSid: string; onJump: () => void }) {
  const shown = useLiveCall(callSid, (call) => countLines(call.segments)) ?? 0;
  const shownBefore = useRef(shown);
  return (
    <Button className={css.jump ?? ''} onClick={onJump}>
      <Icon name="down" />
      {t.call.words.jump(Math.max(0, shown - shownBefore.current))}
    </Button>
  );
}
