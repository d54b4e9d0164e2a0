/** Connects the stored call with its player: sources, the moment in the address, and the search. */
import { type RefObject, useEffect, useLayoutEffect, useMemo, useState } from 'react';
import { useSearch } from 'wouter';
import type { CallDetail } from '../api/types';
import { findIn } from '../player/find';
import { readMoment } from '../player/moment';
import { Player } from '../player/player';
import { sourcesOf } from '../player/sources';
import { silencesOf, type Talk } from '../player/speech';
import { useFoundMarks } from '../player/useWordMarks';

/** A player for the call, with the chosen source of its audio. */
export function useCallPlayer(call: CallDetail, talk: Talk) {
  const [player] = useState(() => new Player());
  const [chosenUrl, choose] = useState<string>();
  const sources = useMemo(() => sourcesOf(call), [call]);
  const source = sources.find(({ url }) => url === chosenUrl) ?? sources[0];
  const { offsetMs = 0, url } = source ?? {};
  // A layout effect: it must run before the audio element is attached and before the first seek.
  useLayoutEffect(() => {
    player.open({
      source: url === undefined ? null : { offsetMs },
      wordsEndMs: talk.lines.reduce((end, { segment }) => Math.max(end, segment.endMs), 0),
      silences: silencesOf(talk),
    });
  }, [player, talk, url, offsetMs]);
  return { sources, source, player, choose };
}

/** Seeks to the moment in the address, now and when the address changes. */
export function useMomentInAddress(player: Player) {
  const search = useSearch();
  useEffect(() => {
    const timeMs = readMoment(search);
    if (timeMs !== null) player.seek(timeMs);
  }, [player, search]);
}

/** The search within the transcript: the query, its matches, and the current one. */
export function useFind(talk: Talk, lines: RefObject<HTMLOListElement | null>) {
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
