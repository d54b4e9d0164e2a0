/** A call that has ended: its transcript, its details, and the player. */
import { type ReactNode, type RefObject, useCallback, useMemo, useRef, useState } from 'react';
import type { CallDetail } from '../api/types';
import type { Names } from '../callRecord/party';
import { clockTime } from '../format/time';
import { Notes } from '../notes/Notes';
import { FindBar } from '../player/FindBar';
import { callPath } from '../player/moment';
import { PlayerDock } from '../player/PlayerDock';
import type { Player } from '../player/player';
import { StoredTranscript } from '../player/StoredTranscript';
import { type Talk, talkOf, UNSURE_BELOW } from '../player/speech';
import { usePlayerKeys } from '../player/usePlayerKeys';
import { useSpokenMark } from '../player/useWordMarks';
import { usePreference } from '../preferences/preferences';
import { t } from '../strings';
import { markerOf } from '../transcript/keywords';
import { asText } from '../transcript/plainText';
import { Banner, Button, Segmented } from '../ui/controls';
import { copyText } from '../ui/copyText';
import { CallEvents } from './CallEvents';
import { Exports } from './Exports';
import { Labels } from './Labels';
import { NoTranscript } from './NoTranscript';
import css from './StoredCall.module.css';
import { TalkStats } from './TalkStats';
import { useCallPlayer, useFind, useMomentInAddress } from './usePlayback';

const strings = t.calls.page;

/** On narrow screens one of the two is shown. */
type Tab = 'words' | 'details';

const TABS: readonly { value: Tab; label: string }[] = [
  { value: 'words', label: strings.tabs.words },
  { value: 'details', label: strings.tabs.details },
];

export function StoredCall({ call, names }: { call: CallDetail; names: Names }) {
  const talk = useMemo(() => talkOf(call.segments), [call.segments]);
  const { sources, source, player, choose } = useCallPlayer(call, talk);
  const [tab, setTab] = useState<Tab>('words');
  const lines = useRef<HTMLOListElement>(null);
  const field = useRef<HTMLInputElement>(null);
  useMomentInAddress(player);
  usePlayerKeys(player, talk, field);
  const { isAway, jump } = useSpokenMark(lines, talk, player);
  const find = useFind(talk, lines);
  return (
    <>
      <div className={css.tabs} data-print="never">
        <Segmented label={strings.tabs.label} value={tab} options={TABS} onChange={setTab} />
      </div>
      <div className={css.columns} data-tab={tab}>
        <div className={css.words}>
          {talk.lines.length > 0 ? (
            <Words call={call} talk={talk} names={names} player={player} lines={lines}>
              <FindBar {...find} field={field} />
            </Words>
          ) : (
            <NoTranscript call={call} />
          )}
          {isAway && (
            <Button className={css.jump} look="primary" icon="down" onClick={jump}>
              {t.calls.transcript.jump}
            </Button>
          )}
        </div>
        <Details call={call} talk={talk} names={names} player={player} />
      </div>
      {(talk.lines.length > 0 || source) && (
        <PlayerDock
          player={player}
          talk={talk}
          names={names}
          sources={sources}
          source={source}
          onSource={choose}
          onCopyMoment={() => copyMomentLink(call.sid, player.store.getState().timeMs)}
        />
      )}
    </>
  );
}

interface PartProps {
  call: CallDetail;
  talk: Talk;
  names: Names;
  player: Player;
}

/** The transcript, with the search bar given as children. */
function Words({
  call,
  talk,
  names,
  player,
  lines,
  children,
}: PartProps & { lines: RefObject<HTMLOListElement | null>; children: ReactNode }) {
  const keywords = usePreference('keywords');
  const marker = useMemo(() => markerOf(keywords), [keywords]);
  const playFrom = useCallback(
    (timeMs: number) => {
      player.seek(timeMs);
      player.play();
    },
    [player],
  );
  return (
    <>
      {call.transcript === 'interrupted' && (
        <Banner tone="warn" icon="warning">
          {strings.interrupted}
        </Banner>
      )}
      <div className={css.find} data-print="never">
        {children}
      </div>
      <StoredTranscript ref={lines} talk={talk} names={names} marker={marker} onPlay={playFrom} />
      {talk.words.some(({ confidence }) => (confidence ?? 1) < UNSURE_BELOW) && (
        <p className={css.legend}>{t.calls.transcript.unsure}</p>
      )}
    </>
  );
}

function Details({ call, talk, names, player }: PartProps) {
  const copyTranscript = () => {
    const segments = talk.lines.map(({ segment }) => segment);
    void copyText(asText(segments, names), t.calls.transcript.copied);
  };
  return (
    <aside className={css.aside} data-print="never" aria-label={strings.tabs.details}>
      <div className={css.pinned}>
        <Notes sid={call.sid} notes={call.notes} />
        <Labels sid={call.sid} labels={call.labels} />
        {talk.lines.length > 0 && (
          <>
            <TalkStats
              talk={talk}
              segments={call.segments}
              names={names}
              onSeek={(timeMs) => player.seek(timeMs)}
            />
            <Exports sid={call.sid} onCopy={copyTranscript} />
          </>
        )}
        <CallEvents call={call} />
      </div>
    </aside>
  );
}

function copyMomentLink(sid: string, timeMs: number) {
  const link = `${window.location.origin}${callPath(sid, timeMs)}`;
  void copyText(link, t.calls.player.momentCopied(clockTime(timeMs)));
}
