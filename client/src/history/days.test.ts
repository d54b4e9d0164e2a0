import { expect, it } from 'vitest';
import { byDay } from './days';

it('groups calls by local day, in order', () => {
  const at = (...date: [number, number, number, number]) => ({
    startedAt: new Date(...date).toISOString(),
  });
  const now = new Date(2026, 10, 25, 12);
  const calls = [
    at(2026, 10, 25, 9),
    at(2026, 10, 25, 0),
    at(2026, 10, 24, 23),
    at(2025, 10, 25, 9),
  ];
  const days = byDay(calls, now);
  expect(days.map((day) => day.calls.length)).toEqual([2, 1, 1]);
  expect(days[0]?.title).toBe('Today');
  expect(days[1]?.title).toBe('Yesterday');
  expect(days.flatMap((day) => day.calls)).toEqual(calls);
});
