/** A call that is over: its words, its sound, and what one makes of it. */
import {
  type RefObject,
  useCallback,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from 'react';
import { useSearch } from 'wouter';
import type { CallDetail } from '../api/types';
import { copyText } from '../call/copy';
import { asText } from '../call/figures';
import { markerOf } from '../call/keywords';
import type { Names } from '../call/TranscriptLine';
import { clockTime } from '../format';
import { FindBar } from '../player/FindBar';
import { findIn } from '../player/find';
import { callPath, readMoment } from '../player/moment';
import { PlayerDock } from '../player/PlayerDock';
import { Player } from '../player/player';
import { sourcesOf } from '../player/sources';
import { silencesOf, type Talk, talkOf, UNSURE_BELOW } from '../player/speech';
import { Transcript } from '../player/Transcript';
import { useFoundMarks, useSpokenMark } from '../player/useMarks';
import { usePlayerKeys } from '../player/usePlayerKeys';
import { usePreference } from '../settings/preferences';
import { t } from '../strings';
import { Banner, Button, Segmented } from '../ui/controls';
import { Exports } from './Exports';
import { Happened } from './Happened';
import { Labels } from './Labels';
import { Notes } from './Notes';
import { NoWords } from './NoWords';
import { Numbers } from './Numbers';
import css from './StoredCall.module.css';

export function StoredCall({ call, names }: { call: CallDetail; names: Names }) {
  const strings = t.calls.page;
  const talk = useMemo(() => talkOf(call.segments), [call.segments]);
  const { sources, source, player, choose } = usePlayerOf(call, talk);
  const [tab, setTab] = useState<'words' | 'details'>('words');
  const lines = useRef<HTMLOListElement>(null);
  const field = useRef<HTMLInputElement>(null);
  const hear = useCallback(
    (timeMs: number) => {
      player.seek(timeMs);
      player.play();
    },
    [player],
  );
  useMoment(player);
  usePlayerKeys(player, talk, field);
  const { isAway, jump } = useSpokenMark(lines, talk, player);
  const find = useFind(talk, lines);
  const said = talk.lines.map(({ segment }) => segment);
  const keywords = usePreference('keywords');
  const marker = useMemo(() => markerOf(keywords), [keywords]);
  const hasWords = talk.lines.length > 0;
  const copyMoment = () => {
    const { timeMs } = player.store.getState();
    const link = `${window.location.origin}${callPath(call.sid, timeMs)}`;
    void copyText(link, t.calls.player.momentCopied(clockTime(timeMs)));
  };
  return (
    <>
      <div className={css.tabs} data-print="never">
        <Segmented
          label={strings.tabs.label}
          value={tab}
          options={[
            { value: 'words', label: strings.tabs.words },
            { value: 'details', label: strings.tabs.details },
          ]}
          onChange={setTab}
        />
      </div>
      <div className={css.columns} data-tab={tab}>
        <div className={css.words}>
          {call.transcript === 'interrupted' && hasWords && (
            <Banner tone="warn" icon="warning">
              {strings.interrupted}
            </Banner>
          )}
          {hasWords ? (
            <>
              <div className={css.find} data-print="never">
                <FindBar {...find} field={field} />
              </div>
              <Transcript ref={lines} talk={talk} names={names} marker={marker} onHear={hear} />
              {talk.words.some(({ confidence }) => (confidence ?? 1) < UNSURE_BELOW) && (
                <p className={css.legend}>{t.calls.transcript.unsure}</p>
              )}
            </>
          ) : (
            <NoWords call={call} />
          )}
          {isAway && (
            <Button className={css.jump} look="primary" icon="down" onClick={jump}>
              {t.calls.transcript.jump}
            </Button>
          )}
        </div>
        <aside className={css.aside} data-print="never" aria-label={strings.tabs.details}>
          <div className={css.pinned}>
            <Notes sid={call.sid} notes={call.notes} />
            <Labels sid={call.sid} labels={call.labels} />
            {hasWords && (
              <>
                <Numbers
                  talk={talk}
                  segments={call.segments}
                  names={names}
                  onSeek={(timeMs) => player.seek(timeMs)}
                />
                <Exports
                  sid={call.sid}
                  onCopy={() => void copyText(asText(said, names), t.calls.transcript.copied)}
                />
              </>
            )}
            <Happened call={call} />
          </div>
        </aside>
      </div>
      {(hasWords || source) && (
        <PlayerDock
          player={player}
          talk={talk}
          names={names}
          sources={sources}
          source={source}
          onSource={choose}
          onCopyMoment={copyMoment}
        />
      )}
    </>
  );
}

/** The page's player, on what there is to hear. */
function usePlayerOf(call: CallDetail, talk: Talk) {
  const [player] = useState(() => new Player());
  const [url, choose] = useState<string>();
  const sources = useMemo(() => sourcesOf(call), [call]);
  const source = sources.find((source) => source.url === url) ?? sources[0];
  const { offsetMs = 0, url: heard } = source ?? {};
  // Before the sound is attached, and before anybody goes to a moment.
  useLayoutEffect(() => {
    player.open({
      source: heard === undefined ? null : { offsetMs },
      wordsEndMs: talk.lines.reduce((end, { segment }) => Math.max(end, segment.endMs), 0),
      silences: silencesOf(talk),
    });
  }, [player, talk, heard, offsetMs]);
  return { sources, source, player, choose };
}

/** Goes to the moment that the address names, now and when it names another. */
function useMoment(player: Player) {
  const search = useSearch();
  useEffect(() => {
    const timeMs = readMoment(search);
    if (timeMs !== null) player.seek(timeMs);
  }, [player, search]);
}

/** Words to look for, what was found, and the one of them that is looked at. */
function useFind(talk: Talk, lines: RefObject<HTMLOListElement | null>) {
  const [query, setQuery] = useState('');
  const [current, setCurrent] = useState(0);
  const matches = useMemo(() => findIn(talk, query), [talk, query]);
  useFoundMarks(lines, matches, current);
  const count = matches.length;
  return {
    query,
    current,
    count,
    onQuery: (query: string) => {
      setQuery(query);
      setCurrent(0);
    },
    onStep: (by: 1 | -1) => setCurrent(count ? (current + by + count) % count : 0),
  };
}
