/**
 * Marks the spoken and the found words in the document, without rendering the transcript again.
 * Scrolls along with the playback unless the reader has scrolled away.
 */
import { type RefObject, useCallback, useEffect, useRef, useState } from 'react';
import type { Match } from './find';
import type { Player } from './player';
import { lastStarted, type Talk, wordsAt } from './speech';

/** The cached word elements of each transcript, by index: an hour has ten thousand of them. */
const wordElements = new WeakMap<HTMLElement, readonly HTMLElement[]>();

function wordOf(root: HTMLElement | null, at: number): HTMLElement | null {
  if (!root || at < 0) return null;
  const known = wordElements.get(root)?.[at];
  // A cached element may be outdated after the transcript rendered again.
  if (known?.isConnected && known.dataset.word === String(at)) return known;
  const words = [...root.querySelectorAll<HTMLElement>('[data-word]')];
  wordElements.set(root, words);
  return words[at] ?? null;
}

/** Marks the spoken words. `isAway`: the playback is out of view; `jump` scrolls there. */
export function useSpokenMark(root: RefObject<HTMLElement | null>, talk: Talk, player: Player) {
  const [isAway, setAway] = useState(false);
  const follows = useRef(true);
  const place = useRef(-1);

  const jump = useCallback(() => {
    follows.current = true;
    setAway(false);
    scrollIntoView(wordOf(root.current, place.current));
  }, [root]);

  useEffect(() => {
    const starts = talk.words.map(({ startMs }, at) => ({ startMs, at }));
    starts.sort((a, b) => a.startMs - b.startMs);
    let marked: HTMLElement[] = [];
    let shown = '';
    let seeks = -1;
    const mark = () => {
      const state = player.store.getState();
      const last = lastStarted(starts.length, (at) => starts[at]?.startMs ?? 0, state.timeMs);
      place.current = starts[Math.max(0, last)]?.at ?? -1;
      const now = wordsAt(talk, state.timeMs);
      if (now.join() !== shown) {
        shown = now.join();
        for (const word of marked) word.removeAttribute('data-now');
        marked = now.flatMap((at) => wordOf(root.current, at) ?? []);
        for (const word of marked) word.setAttribute('data-now', '');
      }
      // A seek scrolls to its target, except for the initial position.
      if (state.seeks !== seeks && (seeks >= 0 || state.timeMs > 0)) jump();
      else if (state.isPlaying && follows.current)
        scrollIntoView(wordOf(root.current, place.current));
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
    const onScroll = () => {
      const word = wordOf(root.current, place.current);
      follows.current = !word || isInView(word, scroller);
      setAway(!follows.current && player.store.getState().timeMs > 0);
    };
    // Scrolling by this hook keeps the word in view, so only the reader can turn following off.
    scroller?.addEventListener('scroll', onScroll, { passive: true });
    return () => scroller?.removeEventListener('scroll', onScroll);
  }, [root, player]);

  return { isAway, jump };
}

/** Marks the matches, and scrolls to the current one. */
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
    if (found) scrollIntoView(wordOf(root.current, found.first));
    return () => {
      for (const word of marked) word.removeAttribute('data-found');
    };
  }, [root, matches, current]);
}

/** The element that scrolls the transcript: the screen. */
const scrollerOf = (element: HTMLElement | null) => element?.closest('main') ?? null;

/** The heights covered by the search bar at the top and by the player at the bottom. */
const COVERED_ABOVE_PX = 64;
const COVERED_BELOW_PX = 160;

function isInView(element: HTMLElement, scroller: HTMLElement | null): boolean {
  if (!scroller) return true;
  const { top, bottom } = element.getBoundingClientRect();
  const view = scroller.getBoundingClientRect();
  return top >= view.top + COVERED_ABOVE_PX && bottom <= view.bottom - COVERED_BELOW_PX;
}

function scrollIntoView(word: HTMLElement | null) {
  if (word && !isInView(word, scrollerOf(word))) word.scrollIntoView({ block: 'center' });
}
