import { expect, it } from 'vitest';
import { backoffMs, FIRST_WAIT_MS, LONGEST_WAIT_MS } from './backoff';

it('doubles the wait up to the longest', () => {
  const waits = [1, 2, 3, 4, 5, 6, 7, 1000].map((failures) => backoffMs(failures, 1));
  expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
});

it('spreads the wait between half and all of it', () => {
  expect(backoffMs(1, 0)).toBe(FIRST_WAIT_MS / 2);
  expect(backoffMs(99, 0)).toBe(LONGEST_WAIT_MS / 2);
});
