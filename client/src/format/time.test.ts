import { expect, it } from 'vitest';
import { clockTime, dayOf } from './time';

it('formats durations as on a clock', () => {
  expect([0, 999, 65_000, 3_723_000, -5].map(clockTime)).toEqual([
    '0:00',
    '0:00',
    '1:05',
    '1:02:03',
    '0:00',
  ]);
});

it('names recent days', () => {
  const now = new Date(2026, 10, 25, 9);
  const days = [0, 1, 3, 8].map((ago) => dayOf(new Date(2026, 10, 25 - ago, 23).toString(), now));
  expect(days.slice(0, 3)).toEqual(['Today', 'Yesterday', 'Sunday']);
  expect(days[3]).toMatch(/17/);
});
