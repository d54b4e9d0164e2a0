import { expect, it } from 'vitest';
import { FOLLOWS_WITHIN_PX, isAtEnd } from './follow';

const at = (topPx: number, belowPx: number) => ({ topPx, belowPx });

it('arrives when the end is near', () => {
  expect(isAtEnd(at(500, FOLLOWS_WITHIN_PX), at(400, 164))).toBe(true);
  expect(isAtEnd(at(500, FOLLOWS_WITHIN_PX + 1), at(400, 165))).toBe(false);
});

it('stays at the end when words go away and the page gets shorter', () => {
  expect(isAtEnd(at(450, 0), at(500, 0))).toBe(true);
});

it('leaves with the first step up', () => {
  expect(isAtEnd(at(490, 10), at(500, 0))).toBe(false);
});
