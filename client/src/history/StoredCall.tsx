/** A call that is over: its words, its sound, and what one makes of it. */
import { useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { useSearch } from 'wouter';
import type { CallDetail } from '../api/types';
import { clockTime } from '../format';
import { FindBar } from '../player/FindBar';
import { findIn } from '../player/find';
import { callPath, readMoment } from '../player/moment';
import { PlayerDock } from '../player/PlayerDock';
import { Player } from '../player/player';
import { sourcesOf } from '../player/sources';
import { silencesOf, talkOf, UNSURE_BELOW } from '../player/speech';
import { type Names, Transcript } from '../player/Transcript';
import { useFoundMarks, useSpokenMark } from '../player/useMarks';
import { usePlayerKeys } from '../player/usePlayerKeys';
import { t } from '../strings';
import { Banner, Button, Segmented } from '../ui/controls';
import { asText, copyText } from './copy';
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
  const hasWords = talk.lines.length > 0;
  const copyMoment = () => {
    const { timeMs } = player.store.getState();
    const link = `${window.location.origin}${callPath(call.sid, timeMs)}`;
    void copyText(link, t.calls.player.momentCopied(clockTime(timeMs)));
  };
  return (
    <>
      <div className={css.tabs}>
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
              <div className={css.find}>
                <FindBar {...find} field={field} />
              </div>
              <Transcript ref={lines} talk={talk} names={names} onHear={hear} />
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
        <aside className={css.aside} aria-label={strings.tabs.details}>
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
                  onCopy={() => void copyText(asText(talk, names), t.calls.transcript.copied)}
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

/** A player on what there is to hear, at the place and the pace of the one before. */
function usePlayerOf(call: CallDetail, talk: ReturnType<typeof talkOf>) {
  const sources = useMemo(() => sourcesOf(call), [call]);
  const [url, choose] = useState<string>();
  const source = sources.find((source) => source.url === url) ?? sources[0];
  const { offsetMs = 0, url: heard } = source ?? {};
  const before = useRef<Player>(undefined);
  const player = useMemo(() => {
    const wordsEndMs = Math.max(0, ...talk.lines.map(({ segment }) => segment.endMs));
    const next = new Player({
      source: heard === undefined ? null : { offsetMs },
      wordsEndMs,
      silences: silencesOf(talk),
    });
    const last = before.current?.store.getState();
    if (last) {
      next.seek(last.timeMs);
      next.setSpeed(last.speed);
      next.setSkipsSilence(last.skipsSilence);
    }
    before.current = next;
    return next;
  }, [talk, heard, offsetMs]);
  return { sources, source, player, choose };
}

/** Goes to the moment that the address names, now and when it names another. */
function useMoment(player: Player) {
  const search = useSearch();
  const read = useRef<string>(undefined);
  useEffect(() => {
    if (read.current === search) return;
    read.current = search;
    const timeMs = readMoment(search);
    if (timeMs !== null) player.seek(timeMs);
  }, [player, search]);
}

/** Words to look for, what was found, and the one of them that is looked at. */
function useFind(talk: ReturnType<typeof talkOf>, lines: React.RefObject<HTMLOListElement | null>) {
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
