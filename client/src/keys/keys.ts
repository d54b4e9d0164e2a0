/**
 * The page's keyboard shortcuts. Whoever is on the page declares theirs with `useKeys`; they hold
 * for as long as that component is there. One listener, at the window, finds whose a key is.
 */
import { useEffect, useLayoutEffect, useRef } from 'react';
import { readPreference } from '../settings/preferences';
import { t } from '../strings';
import { isTaken, match, type Pending, strokeOf } from './match';

/** A key or two that do something. */
export interface Shortcut {
  /** As in `strokeOf`; two with a space between are pressed one after the other: `g p`. */
  keys: string;
  /** What it does, for the sheet: a verb first. */
  does: string;
  run: () => void;
  /** Also while the key is held down: for moving through something. */
  repeats?: boolean;
}

/** Shortcuts that one component declares, as it has them now. */
interface Source {
  heading: string;
  shortcuts: () => readonly Shortcut[];
}

/** The latest last: of two with the same keys, the one that came later holds. */
const sources = new Set<Source>();

/**
 * Declares shortcuts for as long as the component is there. Pass only those that do something now:
 * the sheet shows no others.
 *
 * @param heading what they are for, in the sheet
 */
export function useKeys(shortcuts: readonly Shortcut[], heading: string = t.keys.here) {
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

/** What holds here and now, by heading, what came last first. */
export function shortcutsNow(): ReadonlyMap<string, readonly Shortcut[]> {
  const sheet = new Map<string, readonly Shortcut[]>();
  for (const { heading, shortcuts } of [...sources].reverse()) {
    const all = [...(sheet.get(heading) ?? []), ...shortcuts()];
    if (all.length > 0) sheet.set(heading, all);
  }
  return sheet;
}

/** Hears the keys of the whole page until the returned function is called. */
export function hearKeys(): () => void {
  let pending: Pending | undefined;
  const hear = (event: KeyboardEvent) => {
    if (!readPreference('shortcuts') || event.defaultPrevented || event.isComposing) return;
    const stroke = strokeOf(event);
    if (/^(Shift|Control|Alt|AltGraph|Meta)$/.test(event.key) || isTaken(focused(event), stroke))
      return;
    // Behind a dialog nothing may happen; it has its own keys.
    if (document.querySelector('dialog[open]')) return;
    const shortcuts = [...shortcutsNow().values()].flat();
    const matched = match(
      shortcuts.map(({ keys }) => keys),
      pending,
      stroke,
      event.timeStamp,
    );
    pending = matched.pending;
    const shortcut = shortcuts.find(({ keys }) => keys === matched.keys);
    if (!shortcut) return;
    event.preventDefault();
    if (!event.repeat || shortcut.repeats) shortcut.run();
  };
  window.addEventListener('keydown', hear);
  return () => window.removeEventListener('keydown', hear);
}

const focused = ({ target }: KeyboardEvent) => (target instanceof Element ? target : null);
