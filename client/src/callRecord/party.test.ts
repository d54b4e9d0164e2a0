import { describe, expect, it } from 'vitest';
import { callBackPath, causeOf, lengthMs, nameOf } from './party';

const call = (from: string, to: string) => ({ direction: 'incoming' as const, from, to });
const asIs = (party: string) => party;

describe('the other party', () => {
  it('can be called back only if it has a number', () => {
    expect(callBackPath(call('+14155550100', 'alice'))).toBe('/?to=%2B14155550100');
    expect(callBackPath(call('Recorded agent', 'alice'))).toBe(null);
    expect(callBackPath(call('+266696687', 'alice'))).toBe('/?to=%2B266696687');
    expect(callBackPath(call('', 'alice'))).toBe(null);
  });

  it('has a placeholder name if its number is hidden', () => {
    expect(nameOf(call('', 'alice'), asIs)).toBe('Unknown number');
  });
});

it('computes the talk time from the duration, or from answer to end', () => {
  const times = { answeredAt: '2026-01-01T00:00:10Z', endedAt: '2026-01-01T00:01:00Z' };
  expect(lengthMs({ durationSeconds: 42, ...times })).toBe(42_000);
  expect(lengthMs({ durationSeconds: null, ...times })).toBe(50_000);
  expect(lengthMs({ durationSeconds: null, answeredAt: null, endedAt: times.endedAt })).toBe(null);
});

it('describes every end cause, known or not', () => {
  expect(causeOf({ endCause: null })).toBe(null);
  expect(causeOf({ endCause: 'sip_486' })).toContain('486');
  expect(causeOf({ endCause: 'busy' })).toBe('The line was busy.');
  expect(causeOf({ endCause: 'brand_new' })).toBe('brand new');
});
