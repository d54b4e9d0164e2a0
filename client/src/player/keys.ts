/** What keys do in a call's page. Pure, but for looking at what has the focus. */

export type Command =
  | { type: 'toggle' }
  | { type: 'seekBy'; ms: number }
  | { type: 'word'; by: 1 | -1 }
  | { type: 'faster' }
  | { type: 'slower' }
  | { type: 'find' };

export const SHORT_STEP_MS = 5_000;
export const LONG_STEP_MS = 15_000;

type Pressed = Pick<KeyboardEvent, 'key' | 'shiftKey' | 'ctrlKey' | 'metaKey' | 'altKey'>;

/** The command of a key; null: the browser's own. */
export function commandOf(pressed: Pressed): Command | null {
  if (pressed.ctrlKey || pressed.metaKey || pressed.altKey) return null;
  const arrowMs = pressed.shiftKey ? LONG_STEP_MS : SHORT_STEP_MS;
  switch (pressed.key.toLowerCase()) {
    case ' ':
    case 'k':
      return { type: 'toggle' };
    case 'j':
      return { type: 'seekBy', ms: -LONG_STEP_MS };
    case 'l':
      return { type: 'seekBy', ms: LONG_STEP_MS };
    case 'arrowleft':
      return { type: 'seekBy', ms: -arrowMs };
    case 'arrowright':
      return { type: 'seekBy', ms: arrowMs };
    case ',':
      return { type: 'word', by: -1 };
    case '.':
      return { type: 'word', by: 1 };
    case '<':
      return { type: 'slower' };
    case '>':
      return { type: 'faster' };
    case '/':
      return { type: 'find' };
    default:
      return null;
  }
}

/** Whether keys go into what has the focus: text, a choice, or a question that is open. */
export function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target.closest('dialog, textarea, select, [contenteditable="true"]')) return true;
  return target instanceof HTMLInputElement && target.type !== 'range';
}

/** Whether the space bar has its own meaning where the focus is. */
export const isPressable = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && target.closest('button, a, summary, input') !== null;
