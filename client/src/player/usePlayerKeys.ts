/** The keys of a call's page, wherever the focus is, unless one types there. */
import { type RefObject, useEffect } from 'react';
import { commandOf, isPressable, isTyping } from './keys';
import type { Player } from './player';
import { stepWord, type Talk } from './speech';

export function usePlayerKeys(
  player: Player,
  talk: Talk,
  find: RefObject<HTMLInputElement | null>,
) {
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const command = commandOf(event);
      if (!command || event.defaultPrevented || isTyping(event.target)) return;
      if (event.key === ' ' && isPressable(event.target)) return;
      event.preventDefault();
      switch (command.type) {
        case 'toggle':
          return player.toggle();
        case 'seekBy':
          return player.seekBy(command.ms);
        case 'word': {
          const to = stepWord(talk, player.store.getState().timeMs, command.by);
          if (to !== null) player.seek(to);
          return;
        }
        case 'faster':
          return player.stepSpeed(1);
        case 'slower':
          return player.stepSpeed(-1);
        case 'find':
          find.current?.focus();
          return;
        default:
          return command satisfies never;
      }
    };
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  }, [player, talk, find]);
}
