import { describe, expect, it } from 'vitest';
import { commandOf, isPressable, isTyping } from './keys';

const press = (key: string, held: Partial<KeyboardEvent> = {}) =>
  commandOf({ key, shiftKey: false, ctrlKey: false, metaKey: false, altKey: false, ...held });

describe('keys', () => {
  it('play, and move by seconds or by words', () => {
    expect(press('k')).toEqual({ type: 'toggle' });
    expect(press(' ')).toEqual({ type: 'toggle' });
    expect(press('J')).toEqual({ type: 'seekBy', ms: -15_000 });
    expect(press('ArrowRight')).toEqual({ type: 'seekBy', ms: 5_000 });
    expect(press('ArrowRight', { shiftKey: true })).toEqual({ type: 'seekBy', ms: 15_000 });
    expect(press('.')).toEqual({ type: 'word', by: 1 });
  });

  it('leave the browser its own', () => {
    expect(press('l', { ctrlKey: true })).toBe(null);
    expect(press('ArrowLeft', { altKey: true })).toBe(null);
    expect(press('Enter')).toBe(null);
  });

  it('are not taken from where one types', () => {
    const inside = (html: string) => {
      document.body.innerHTML = html;
      return document.body.querySelector('.here');
    };
    expect(isTyping(inside('<textarea class="here"></textarea>'))).toBe(true);
    expect(isTyping(inside('<input class="here">'))).toBe(true);
    expect(isTyping(inside('<dialog><button class="here"></button></dialog>'))).toBe(true);
    expect(isTyping(inside('<input type="range" class="here">'))).toBe(false);
    expect(isTyping(inside('<button class="here"></button>'))).toBe(false);
    expect(isPressable(inside('<p class="here" tabindex="0"></p>'))).toBe(false);
    expect(isPressable(inside('<button><b class="here"></b></button>'))).toBe(true);
  });
});
