import { expect, it } from 'vitest';
import { FOLLOWS_WITHIN_PX, isAtEnd } from './follow';

const at = (topPx: number, belowPx: number) => ({ topPx, belowPx });

it('arrives near the end', () => {
  expect(isAtEnd(at(500, FOLLOWS_WITHIN_PX), at(400, 164))).toBe(true);
  expect(isAtEnd(at(500, FOLLOWS_WITHIN_PX + 1), at(400, 165))).toBe(false);
});

it('stays at the end when the content shrinks', () => {
  expect(isAtEnd(at(450, 0), at(500, 0))).toBe(true);
});

it('leaves with the first scroll up', () => {
  expect(isAtEnd(at(490, 10), at(500, 0))).toBe(false);
});
