import { describe, expect, it } from 'vitest';
import { callPath, readMoment } from './moment';

describe('moments in links', () => {
  it('survive a round trip to the millisecond', () => {
    for (const ms of [0, 1, 999, 1_000, 12_345, 3_600_000, 86_400_000])
      expect(readMoment(callPath('CA1', ms).replace(/.*\?/, '?'))).toBe(ms);
  });

  it.each([
    ['?t=1:05', 65_000],
    ['?t=1:02:03.5', 3_723_500],
    ['?x=1&t=7', 7_000],
  ])('are parsed: %s', (search, ms) => {
    expect(readMoment(search)).toBe(ms);
  });

  it.each(['', '?t=', '?t=-3', '?t=1e9', '?t=NaN', '?t=soon', '?t=999999'])(
    'are not made up of %s',
    (search) => {
      expect(readMoment(search)).toBe(null);
    },
  );
});
