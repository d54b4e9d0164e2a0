import { expect, it } from 'vitest';
import { FIRST_WAIT_MS, LONGEST_WAIT_MS, waitMs } from './backoff';

it('waits longer each time, up to the longest', () => {
  const waits = [1, 2, 3, 4, 5, 6, 7, 1000].map((failures) => waitMs(failures, 1));
  expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
});

it('spreads pages between half of the wait and all of it', () => {
  expect(waitMs(1, 0)).toBe(FIRST_WAIT_MS / 2);
  expect(waitMs(99, 0)).toBe(LONGEST_WAIT_MS / 2);
});
