/**
 * Marks words in a transcript where they stand, without drawing it anew: the ones that are being
 * spoken, and the ones that were found. Follows what is spoken as long as one looks at it.
 */
import { type RefObject, useCallback, useEffect, useRef, useState } from 'react';
import type { Match } from './find';
import type { Player } from './player';
import { lastBegun, type Talk, wordsAt } from './speech';

/** The words of each transcript on the page, by place: an hour of talk has ten thousand. */
const drawn = new WeakMap<HTMLElement, readonly HTMLElement[]>();

function wordOf(root: HTMLElement | null, at: number): HTMLElement | null {
  if (!root || at < 0) return null;
  const known = drawn.get(root)?.[at];
  // Drawn anew since, when more words came.
  if (known?.isConnected && known.dataset.word === String(at)) return known;
  const words = [...root.querySelectorAll<HTMLElement>('[data-word]')];
  drawn.set(root, words);
  return words[at] ?? null;
}

/** Marks what is spoken. Away: it plays on where one does not look; `jump` goes there. */
export function useSpokenMark(root: RefObject<HTMLElement | null>, talk: Talk, player: Player) {
  const [isAway, setAway] = useState(false);
  const follows = useRef(true);
  const place = useRef(-1);

  const jump = useCallback(() => {
    follows.current = true;
    setAway(false);
    bringIntoView(wordOf(root.current, place.current));
  }, [root]);

  useEffect(() => {
    const starts = talk.words.map(({ startMs }, at) => ({ startMs, at }));
    starts.sort((a, b) => a.startMs - b.startMs);
    let marked: HTMLElement[] = [];
    let shown = '';
    let seeks = -1;
    const mark = () => {
      const state = player.store.getState();
      const last = lastBegun(starts.length, (at) => starts[at]?.startMs ?? 0, state.timeMs);
      place.current = starts[Math.max(0, last)]?.at ?? -1;
      const now = wordsAt(talk, state.timeMs);
      if (now.join() !== shown) {
        shown = now.join();
        for (const word of marked) word.removeAttribute('data-now');
        marked = now.flatMap((at) => wordOf(root.current, at) ?? []);
        for (const word of marked) word.setAttribute('data-now', '');
      }
      // Whoever goes to a place wants to see it; at the very beginning there is nothing to go to.
      if (state.seeks !== seeks && (seeks >= 0 || state.timeMs > 0)) jump();
      else if (state.isPlaying && follows.current)
        bringIntoView(wordOf(root.current, place.current));
      seeks = state.seeks;
    };
    mark();
    const stop = player.store.subscribe(mark);
    return () => {
      stop();
      for (const word of marked) word.removeAttribute('data-now');
    };
  }, [root, talk, player, jump]);

  useEffect(() => {
    const scroller = scrollerOf(root.current);
    const look = () => {
      const word = wordOf(root.current, place.current);
      follows.current = !word || isInView(word, scroller);
      setAway(!follows.current && player.store.getState().timeMs > 0);
    };
    // Our own scrolling brings the word into view: only a person's turns following off.
    scroller?.addEventListener('scroll', look, { passive: true });
    return () => scroller?.removeEventListener('scroll', look);
  }, [root, player]);

  return { isAway, jump };
}

/** Marks what was found, and brings the one that is looked at into view. */
export function useFoundMarks(
  root: RefObject<HTMLElement | null>,
  matches: readonly Match[],
  current: number,
) {
  useEffect(() => {
    const marked: HTMLElement[] = [];
    matches.forEach(({ first, last }, at) => {
      for (let place = first; place <= last; place++) {
        const word = wordOf(root.current, place);
        if (!word) continue;
        word.setAttribute('data-found', at === current ? 'current' : '');
        marked.push(word);
      }
    });
    const found = matches[current];
    if (found) bringIntoView(wordOf(root.current, found.first));
    return () => {
      for (const word of marked) word.removeAttribute('data-found');
    };
  }, [root, matches, current]);
}

/** What scrolls the transcript: the screen. */
const scrollerOf = (element: HTMLElement | null) => element?.closest('main') ?? null;

/** What covers the screen's edges: the search above, the player below. */
const COVERED_ABOVE_PX = 64;
const COVERED_BELOW_PX = 160;

function isInView(element: HTMLElement, scroller: HTMLElement | null): boolean {
  if (!scroller) return true;
  const { top, bottom } = element.getBoundingClientRect();
  const view = scroller.getBoundingClientRect();
  return top >= view.top + COVERED_ABOVE_PX && bottom <= view.bottom - COVERED_BELOW_PX;
}

function bringIntoView(word: HTMLElement | null) {
  if (word && !isInView(word, scrollerOf(word))) word.scrollIntoView({ block: 'center' });
}
