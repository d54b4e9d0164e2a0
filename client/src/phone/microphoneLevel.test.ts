import { describe, expect, it } from 'vitest';
import { foldTalk, levelOf, SILENT } from './microphoneLevel';

it('measures between silence and full scale', () => {
  expect(levelOf([0, 0, 0])).toBe(0);
  expect(levelOf([1, -1, 1, -1])).toBeCloseTo(1);
  expect(levelOf([0.1, -0.1])).toBeCloseTo(1 - 20 / 60);
  expect(levelOf([])).toBe(0);
});

describe('the user', () => {
  /** Levels at their times. */
  const heard = (...levels: [atMs: number, level: number][]) =>
    levels.reduce((talk, [atMs, level]) => foldTalk(talk, level, atMs), SILENT).talks;

  it('talks after a while of speech, not at a knock', () => {
    expect(heard([0, 0.8])).toBe(false);
    expect(heard([0, 0.8], [200, 0.1], [2_000, 0.1], [2_100, 0.8])).toBe(false);
    expect(heard([0, 0.8], [400, 0.8])).toBe(true);
  });

  it('still talks in a pause between words, and then no more', () => {
    expect(heard([0, 0.8], [400, 0.8], [1_000, 0])).toBe(true);
    expect(heard([0, 0.8], [400, 0.8], [1_900, 0])).toBe(false);
  });
});
