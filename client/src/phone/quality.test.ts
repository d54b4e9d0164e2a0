import { describe, expect, it } from 'vitest';
import { qualityOf } from './quality';

describe('the quality', () => {
  const sample = { mos: 4.2, roundTripMs: 40, jitterMs: 2, lost: 0 };

  it('is unknown, then good', () => {
    expect(qualityOf([], null)).toBeNull();
    expect(qualityOf([], sample)).toEqual({ level: 'good', reasons: [] });
  });

  it('is what the worst warning says, with all reasons', () => {
    expect(qualityOf(['high-rtt'], sample)).toEqual({ level: 'fair', reasons: ['slow'] });
    expect(qualityOf(['high-rtt', 'low-bytes-received'], sample)).toEqual({
      level: 'poor',
      reasons: ['hears-nothing', 'slow'],
    });
  });

  it('is what the score says without a warning', () => {
    expect(qualityOf([], { ...sample, mos: 3.3 })?.level).toBe('fair');
    expect(qualityOf([], { ...sample, mos: 2 })?.level).toBe('poor');
    expect(qualityOf([], { ...sample, mos: null })?.level).toBe('good');
  });
});
