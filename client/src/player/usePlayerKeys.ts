/** The shortcuts on the page of a call. */
import type { RefObject } from 'react';
import { useShortcuts } from '../keys/shortcuts';
import { t } from '../strings';
import type { Player } from './player';
import { LONG_STEP_MS, SHORT_STEP_MS } from './seekSteps';
import { stepWord, type Talk } from './speech';

const words = t.calls.keys;

export function usePlayerKeys(
  player: Player,
  talk: Talk,
  find: RefObject<HTMLInputElement | null>,
) {
  const toWord = (by: 1 | -1) => () => {
    const to = stepWord(talk, player.store.getState().timeMs, by);
    if (to !== null) player.seek(to);
  };
  const step = (keys: string, ms: number) => ({
    keys,
    does: ms < 0 ? words.back(-ms / 1_000) : words.forward(ms / 1_000),
    run: () => player.seekBy(ms),
    repeats: true,
  });
  useShortcuts(
    [
      { keys: 'k', does: words.toggle, run: () => player.toggle() },
      { keys: 'Space', does: words.toggle, run: () => player.toggle() },
      step('j', -LONG_STEP_MS),
      step('Shift+ArrowLeft', -LONG_STEP_MS),
      step('l', LONG_STEP_MS),
      step('Shift+ArrowRight', LONG_STEP_MS),
      step('ArrowLeft', -SHORT_STEP_MS),
      step('ArrowRight', SHORT_STEP_MS),
      { keys: ',', does: words.wordBack, run: toWord(-1), repeats: true },
      { keys: '.', does: words.word, run: toWord(1), repeats: true },
      { keys: '<', does: words.slower, run: () => player.stepSpeed(-1) },
      { keys: '>', does: words.faster, run: () => player.stepSpeed(1) },
      { keys: '/', does: words.find, run: () => find.current?.focus() },
    ],
    words.heading,
  );
}
