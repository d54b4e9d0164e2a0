/** Matches key presses to shortcuts. Pure: the time is an argument. */

/** The second key of a sequence must follow within this time. */
export const SEQUENCE_WITHIN_MS = 1_500;

/** The relevant fields of a `KeyboardEvent`. */
export interface KeyPress {
  readonly key: string;
  readonly code: string;
  readonly ctrlKey: boolean;
  readonly metaKey: boolean;
  readonly altKey: boolean;
  readonly shiftKey: boolean;
}

/** The keystrokes of an unfinished sequence. */
export interface Pending {
  readonly keystrokes: string;
  readonly untilMs: number;
}

/** The result of a press: a shortcut, or the start of a sequence, or neither. */
export interface Matched {
  /** The `keys` of the matched shortcut. */
  readonly keys: string | undefined;
  readonly pending: Pending | undefined;
}

/**
 * A press as shortcuts write it: `m`, `?`, `Space`, `ArrowLeft`, `Shift+ArrowLeft`, `Alt+1`,
 * `Mod+k` (Control or Command). Shift is named only where it does not change the character.
 */
export function keystrokeOf(press: KeyPress): string {
  const key = nameOf(press);
  const isCharacter = key.length === 1;
  // Windows reports AltGr, which types characters on some keyboards, as Control and Alt.
  const isTyped = isCharacter && press.ctrlKey && press.altKey;
  const modifiers = [
    (press.ctrlKey || press.metaKey) && !isTyped && 'Mod',
    press.altKey && !isTyped && 'Alt',
    press.shiftKey && !isCharacter && 'Shift',
  ];
  return [...modifiers.filter(Boolean), key].join('+');
}

/** For keyboards of other alphabets, the Latin letter at the same position. */
function nameOf({ key, code }: KeyPress): string {
  if (key === ' ') return 'Space';
  if (key.length > 1) return key;
  const isAscii = key >= '!' && key <= '~';
  const letter = /^Key([A-Z])$/.exec(code)?.[1];
  return (isAscii ? key : (letter ?? key)).toLowerCase();
}

/**
 * Matches one keystroke against the active shortcuts.
 *
 * @param shortcuts the `keys` of each shortcut, such as `g p`
 */
export function match(
  shortcuts: readonly string[],
  pending: Pending | undefined,
  keystroke: string,
  nowMs: number,
): Matched {
  const before = pending && nowMs < pending.untilMs ? `${pending.keystrokes} ` : '';
  const keystrokes = before + keystroke;
  if (shortcuts.includes(keystrokes)) return { keys: keystrokes, pending: undefined };
  if (shortcuts.some((keys) => keys.startsWith(`${keystrokes} `)))
    return { keys: undefined, pending: { keystrokes, untilMs: nowMs + SEQUENCE_WITHIN_MS } };
  // There is no such sequence: the key may start another one, or be a shortcut itself.
  if (before) return match(shortcuts, undefined, keystroke, nowMs);
  return { keys: undefined, pending: undefined };
}

/** Elements that take letters, as text or to look up options. */
const TAKES_LETTERS = 'input, textarea, select, [contenteditable=""], [contenteditable="true"]';

/** Inputs in which letters have no meaning. */
const TAKES_NO_LETTERS =
  'input:is([type="checkbox"], [type="radio"], [type="range"], [type="button"], [type="submit"])';

const PRESS_KEYS = /^(Space|Enter)$/;
const PRESSABLE = 'a[href], button, summary, input, [role="option"], [role="tab"]';

const MOVE_KEYS = /^(Shift\+)?(Arrow\w+|Home|End|Page\w+)$/;
const MOVABLE = 'input, [role="slider"], [role="option"], [role="tab"]';

/** An element that leaves its keys to the shortcuts of the page. */
const LEAVES_KEYS = '[data-keys="page"]';

/** Whether the focused element handles the key itself. */
export function isHandledByFocus(focused: Element | null, keystroke: string): boolean {
  if (focused === null || focused.matches(LEAVES_KEYS)) return false;
  if (focused.matches(TAKES_LETTERS) && !focused.matches(TAKES_NO_LETTERS)) return true;
  if (PRESS_KEYS.test(keystroke)) return focused.closest(PRESSABLE) !== null;
  return MOVE_KEYS.test(keystroke) && focused.closest(MOVABLE) !== null;
}
