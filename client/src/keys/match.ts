/** Which shortcut a key means. Pure: the time is an argument. */

/** After this long the first key of two is forgotten. */
export const SEQUENCE_WITHIN_MS = 1_500;

/** What is known of a press; a `KeyboardEvent` fits. */
export interface Press {
  readonly key: string;
  readonly code: string;
  readonly ctrlKey: boolean;
  readonly metaKey: boolean;
  readonly altKey: boolean;
  readonly shiftKey: boolean;
}

/** The first keys of a sequence that may go on. */
export interface Pending {
  readonly strokes: string;
  readonly untilMs: number;
}

/** What a press led to: perhaps a shortcut, perhaps the beginning of one. */
export interface Matched {
  /** The `keys` of the shortcut that was meant. */
  readonly keys: string | undefined;
  readonly pending: Pending | undefined;
}

/**
 * A press as shortcuts write it: `m`, `?`, `Space`, `ArrowLeft`, `Shift+ArrowLeft`, `Alt+1`,
 * `Mod+k` (Control or Command). Shift stands apart only where it makes no other character.
 */
export function strokeOf(press: Press): string {
  const key = nameOf(press);
  const isCharacter = key.length === 1;
  // AltGr, which Windows reports as Control and Alt, is how some keyboards type a character.
  const isTyped = isCharacter && press.ctrlKey && press.altKey;
  const modifiers = [
    (press.ctrlKey || press.metaKey) && !isTyped && 'Mod',
    press.altKey && !isTyped && 'Alt',
    press.shiftKey && !isCharacter && 'Shift',
  ];
  return [...modifiers.filter(Boolean), key].join('+');
}

/** Keyboards of other alphabets have Latin letters at the same places. */
function nameOf({ key, code }: Press): string {
  if (key === ' ') return 'Space';
  if (key.length > 1) return key;
  const isAscii = key >= '!' && key <= '~';
  const letter = /^Key([A-Z])$/.exec(code)?.[1];
  return (isAscii ? key : (letter ?? key)).toLowerCase();
}

/**
 * The next step through the shortcuts that hold now.
 *
 * @param shortcuts their `keys`: strokes with a space between, `g p`
 */
export function match(
  shortcuts: readonly string[],
  pending: Pending | undefined,
  stroke: string,
  nowMs: number,
): Matched {
  const before = pending && nowMs < pending.untilMs ? `${pending.strokes} ` : '';
  const strokes = before + stroke;
  if (shortcuts.includes(strokes)) return { keys: strokes, pending: undefined };
  if (shortcuts.some((keys) => keys.startsWith(`${strokes} `)))
    return { keys: undefined, pending: { strokes, untilMs: nowMs + SEQUENCE_WITHIN_MS } };
  // No such sequence: the key may begin another, or be one by itself.
  if (before) return match(shortcuts, undefined, stroke, nowMs);
  return { keys: undefined, pending: undefined };
}

/** What types a text, or looks up its options by letters. */
const TYPES = 'input, textarea, select, [contenteditable=""], [contenteditable="true"]';

/** Inputs in which no letter means anything. */
const TYPES_NOT =
  'input:is([type="checkbox"], [type="radio"], [type="range"], [type="button"], [type="submit"])';

const PRESSES = /^(Space|Enter)$/;
const PRESSED = 'a[href], button, summary, input, [role="option"], [role="tab"]';

const MOVES = /^(Shift\+)?(Arrow\w+|Home|End|Page\w+)$/;
const MOVED = 'input, [role="slider"], [role="option"], [role="tab"]';

/** Gives its keys away: the page's shortcuts move it better. */
const GIVES = '[data-keys="page"]';

/** Whether the key belongs to what has the focus, and is no shortcut there. */
export function isTaken(focused: Element | null, stroke: string): boolean {
  if (focused === null || focused.matches(GIVES)) return false;
  if (focused.matches(TYPES) && !focused.matches(TYPES_NOT)) return true;
  if (PRESSES.test(stroke)) return focused.closest(PRESSED) !== null;
  return MOVES.test(stroke) && focused.closest(MOVED) !== null;
}
