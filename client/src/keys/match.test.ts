import { afterEach, describe, expect, it } from 'vitest';
import { isTaken, match, type Press, SEQUENCE_WITHIN_MS, strokeOf } from './match';

const press = (key: string, more: Partial<Press> = {}): Press => ({
  key,
  code: '',
  ctrlKey: false,
  metaKey: false,
  altKey: false,
  shiftKey: false,
  ...more,
});

describe('a stroke', () => {
  it.each([
    [press('m'), 'm'],
    [press('M', { shiftKey: true }), 'm'],
    [press('?', { shiftKey: true }), '?'],
    [press(' '), 'Space'],
    [press('ArrowLeft', { shiftKey: true }), 'Shift+ArrowLeft'],
    [press('k', { ctrlKey: true }), 'Mod+k'],
    [press('k', { metaKey: true }), 'Mod+k'],
    [press('1', { altKey: true }), 'Alt+1'],
  ])('is written as people read it: %o', (given, stroke) => expect(strokeOf(given)).toBe(stroke));

  it('is the Latin letter of the place on other keyboards', () => {
    expect(strokeOf(press('ь', { code: 'KeyM' }))).toBe('m');
    expect(strokeOf(press('é', { code: 'Digit2' }))).toBe('é');
  });

  it('has no modifiers when AltGr typed the character', () => {
    expect(strokeOf(press('?', { ctrlKey: true, altKey: true }))).toBe('?');
  });
});

describe('a sequence', () => {
  const shortcuts = ['g p', 'g c', 'm'];

  it('is two keys, one after the other', () => {
    const first = match(shortcuts, undefined, 'g', 0);
    expect(first.keys).toBeUndefined();
    expect(match(shortcuts, first.pending, 'c', 100)).toEqual({ keys: 'g c', pending: undefined });
  });

  it('is forgotten when the second key comes late', () => {
    const { pending } = match(shortcuts, undefined, 'g', 0);
    expect(match(shortcuts, pending, 'p', SEQUENCE_WITHIN_MS).keys).toBeUndefined();
  });

  it('that is none leaves the key to mean what it does alone', () => {
    const { pending } = match(shortcuts, undefined, 'g', 0);
    expect(match(shortcuts, pending, 'm', 1).keys).toBe('m');
    expect(match(shortcuts, pending, 'g', 1).pending?.strokes).toBe('g');
    expect(match(shortcuts, pending, 'x', 1)).toEqual({ keys: undefined, pending: undefined });
  });
});

describe('a key that belongs to what has the focus', () => {
  const element = (html: string) => {
    document.body.innerHTML = html;
    return document.body.firstElementChild;
  };
  afterEach(() => document.body.replaceChildren());

  it('is any key where one types', () => {
    for (const html of ['<input>', '<textarea></textarea>', '<select></select>'])
      expect(isTaken(element(html), 'm')).toBe(true);
    expect(isTaken(element('<div contenteditable="true"></div>'), 'm')).toBe(true);
  });

  it('is what presses it, and no letter', () => {
    for (const html of ['<button></button>', '<a href="/"></a>', '<input type="checkbox">']) {
      expect(isTaken(element(html), 'Space')).toBe(true);
      expect(isTaken(element(html), 'm')).toBe(false);
      expect(isTaken(element(html), 'Escape')).toBe(false);
    }
  });

  it('is what moves it, where something moves', () => {
    for (const html of ['<input type="range">', '<div role="slider"></div>'])
      for (const stroke of ['ArrowLeft', 'Shift+ArrowLeft', 'PageUp'])
        expect(isTaken(element(html), stroke)).toBe(true);
    expect(isTaken(element('<button></button>'), 'ArrowLeft')).toBe(false);
    expect(isTaken(element('<input type="range" data-keys="page">'), 'ArrowLeft')).toBe(false);
  });

  it('is none anywhere else', () => {
    expect(isTaken(element('<p></p>'), 'Space')).toBe(false);
    expect(isTaken(null, 'm')).toBe(false);
  });
});
