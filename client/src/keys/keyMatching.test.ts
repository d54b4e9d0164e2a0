import { afterEach, describe, expect, it } from 'vitest';
import {
  isHandledByFocus,
  type KeyPress,
  keystrokeOf,
  match,
  SEQUENCE_WITHIN_MS,
} from './keyMatching';

const press = (key: string, more: Partial<KeyPress> = {}): KeyPress => ({
  key,
  code: '',
  ctrlKey: false,
  metaKey: false,
  altKey: false,
  shiftKey: false,
  ...more,
});

describe('a keystroke', () => {
  it.each([
    [press('m'), 'm'],
    [press('M', { shiftKey: true }), 'm'],
    [press('?', { shiftKey: true }), '?'],
    [press(' '), 'Space'],
    [press('ArrowLeft', { shiftKey: true }), 'Shift+ArrowLeft'],
    [press('k', { ctrlKey: true }), 'Mod+k'],
    [press('k', { metaKey: true }), 'Mod+k'],
    [press('1', { altKey: true }), 'Alt+1'],
  ])('is written as in shortcuts: %o', (given, stroke) => expect(keystrokeOf(given)).toBe(stroke));

  it('is the Latin letter at the same position on other keyboards', () => {
    expect(keystrokeOf(press('ь', { code: 'KeyM' }))).toBe('m');
    expect(keystrokeOf(press('é', { code: 'Digit2' }))).toBe('é');
  });

  it('has no modifiers if AltGr typed the character', () => {
    expect(keystrokeOf(press('?', { ctrlKey: true, altKey: true }))).toBe('?');
  });
});

describe('a sequence', () => {
  const shortcuts = ['g p', 'g c', 'm'];

  it('is two keys, one after another', () => {
    const first = match(shortcuts, undefined, 'g', 0);
    expect(first.keys).toBeUndefined();
    expect(match(shortcuts, first.pending, 'c', 100)).toEqual({ keys: 'g c', pending: undefined });
  });

  it('expires if the second key is late', () => {
    const { pending } = match(shortcuts, undefined, 'g', 0);
    expect(match(shortcuts, pending, 'p', SEQUENCE_WITHIN_MS).keys).toBeUndefined();
  });

  it('that does not exist leaves the second key its own meaning', () => {
    const { pending } = match(shortcuts, undefined, 'g', 0);
    expect(match(shortcuts, pending, 'm', 1).keys).toBe('m');
    expect(match(shortcuts, pending, 'g', 1).pending?.keystrokes).toBe('g');
    expect(match(shortcuts, pending, 'x', 1)).toEqual({ keys: undefined, pending: undefined });
  });
});

describe('a key that the focused element handles', () => {
  const element = (html: string) => {
    document.body.innerHTML = html;
    return document.body.firstElementChild;
  };
  afterEach(() => document.body.replaceChildren());

  it('is any key in a text field', () => {
    for (const html of ['<input>', '<textarea></textarea>', '<select></select>'])
      expect(isHandledByFocus(element(html), 'm')).toBe(true);
    expect(isHandledByFocus(element('<div contenteditable="true"></div>'), 'm')).toBe(true);
  });

  it('is Space or Enter on a button', () => {
    for (const html of ['<button></button>', '<a href="/"></a>', '<input type="checkbox">']) {
      expect(isHandledByFocus(element(html), 'Space')).toBe(true);
      expect(isHandledByFocus(element(html), 'm')).toBe(false);
      expect(isHandledByFocus(element(html), 'Escape')).toBe(false);
    }
  });

  it('is an arrow key on a slider or list', () => {
    for (const html of ['<input type="range">', '<div role="slider"></div>'])
      for (const stroke of ['ArrowLeft', 'Shift+ArrowLeft', 'PageUp'])
        expect(isHandledByFocus(element(html), stroke)).toBe(true);
    expect(isHandledByFocus(element('<button></button>'), 'ArrowLeft')).toBe(false);
    expect(isHandledByFocus(element('<input type="range" data-keys="page">'), 'ArrowLeft')).toBe(
      false,
    );
  });

  it('is no key elsewhere', () => {
    expect(isHandledByFocus(element('<p></p>'), 'Space')).toBe(false);
    expect(isHandledByFocus(null, 'm')).toBe(false);
  });
});
