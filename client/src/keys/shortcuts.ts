/**
 * Keyboard shortcuts. Each component declares its shortcuts with `useShortcuts`; they are active while it
 * is mounted. One listener at the window dispatches the keys.
 */
import { useEffect, useLayoutEffect, useRef } from 'react';
import { readPreference } from '../preferences/preferences';
import { t } from '../strings';
import { isHandledByFocus, keystrokeOf, match, type Pending } from './keyMatching';

/** One key, or a sequence of two, with its action. */
export interface Shortcut {
  /** Keystrokes as `keystrokeOf` writes them; a space separates a sequence: `g p`. */
  keys: string;
  /** The description in the shortcut sheet: starts with a verb. */
  does: string;
  run: () => void;
  /** Runs repeatedly while the key is held down. */
  repeats?: boolean;
}

/** The current shortcuts of one component. */
interface Source {
  heading: string;
  shortcuts: () => readonly Shortcut[];
}

/** In order of mounting: of two shortcuts with the same keys, the later one wins. */
const sources = new Set<Source>();

/**
 * Declares shortcuts while the component is mounted. Pass only those that have an effect now: the
 * shortcut sheet lists exactly these.
 *
 * @param heading their heading in the sheet
 */
export function useShortcuts(shortcuts: readonly Shortcut[], heading: string = t.keys.here) {
  const latest = useRef(shortcuts);
  useLayoutEffect(() => {
    latest.current = shortcuts;
  });
  useEffect(() => {
    const source = { heading, shortcuts: () => latest.current };
    sources.add(source);
    return () => {
      sources.delete(source);
    };
  }, [heading]);
}

/** The active shortcuts by heading, the latest component first. */
export function activeShortcuts(): ReadonlyMap<string, readonly Shortcut[]> {
  const sheet = new Map<string, readonly Shortcut[]>();
  for (const { heading, shortcuts } of [...sources].reverse()) {
    const all = [...(sheet.get(heading) ?? []), ...shortcuts()];
    if (all.length > 0) sheet.set(heading, all);
  }
  return sheet;
}

/** Dispatches the keys of the whole page until the returned function is called. */
export function listenForShortcuts(): () => void {
  let pending: Pending | undefined;
  const onKeyDown = (event: KeyboardEvent) => {
    if (!readPreference('shortcuts') || event.defaultPrevented || event.isComposing) return;
    const keystroke = keystrokeOf(event);
    if (
      /^(Shift|Control|Alt|AltGraph|Meta)$/.test(event.key) ||
      isHandledByFocus(focused(event), keystroke)
    )
      return;
    // A modal dialog handles its own keys.
    if (document.querySelector('dialog[open]')) return;
    const shortcuts = [...activeShortcuts().values()].flat();
    const matched = match(
      shortcuts.map(({ keys }) => keys),
      pending,
      keystroke,
      event.timeStamp,
    );
    pending = matched.pending;
    const shortcut = shortcuts.find(({ keys }) => keys === matched.keys);
    if (!shortcut) return;
    event.preventDefault();
    if (!event.repeat || shortcut.repeats) shortcut.run();
  };
  window.addEventListener('keydown', onKeyDown);
  return () => window.removeEventListener('keydown', onKeyDown);
}

const focused = ({ target }: KeyboardEvent) => (target instanceof Element ? target : null);
