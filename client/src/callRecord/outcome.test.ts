import { describe, expect, it } from 'vitest';
import type { CallStatus } from '../api/types';
import { outcomeOf, REFRESH_EVERY_MS, refreshMs, SETTLES_WITHIN_MS } from './outcome';

const outgoing = (status: CallStatus, endCause?: string) =>
  outcomeOf({ direction: 'outgoing', status, endCause: endCause ?? null });
const incoming = (status: CallStatus, endCause?: string) =>
  outcomeOf({ direction: 'incoming', status, endCause: endCause ?? null });

describe('the outcome of a call', () => {
  it('is missed for incoming and unanswered for outgoing calls', () => {
    expect(incoming('no-answer')).toBe('missed');
    expect(outgoing('no-answer')).toBe('unanswered');
    expect(incoming('canceled')).toBe('missed');
    expect(outgoing('canceled')).toBe('canceled');
  });

  it('is refused if this server refused the call, whatever its status', () => {
    expect(outgoing('completed', 'country_not_allowed')).toBe('refused');
    expect(outgoing('failed', 'sip_404')).toBe('failed');
    expect(outgoing('in-progress', 'country_not_allowed')).toBe('ongoing');
  });
});

describe('fetching again', () => {
  const END = '2026-11-25T10:00:00.000Z';
  const ended = Date.parse(END);

  it('continues until the transcript is complete', () => {
    const ask = (status: CallStatus, transcript: 'live' | 'complete', now: number) =>
      refreshMs({ status, transcript, endedAt: status === 'completed' ? END : null }, now);
    expect(ask('in-progress', 'live', ended)).toBe(REFRESH_EVERY_MS);
    expect(ask('completed', 'live', ended + 1)).toBe(REFRESH_EVERY_MS);
    expect(ask('completed', 'complete', ended + 1)).toBe(false);
  });

  it('continues while Twilio processes a recording', () => {
    const call = { status: 'completed', transcript: 'off', endedAt: END } as const;
    expect(refreshMs({ ...call, recording: 'stopped' }, ended + 1)).toBe(REFRESH_EVERY_MS);
    expect(refreshMs({ ...call, recording: 'completed' }, ended + 1)).toBe(false);
  });

  it('stops when no more words are expected', () => {
    const call = { status: 'no-answer', transcript: 'waiting', endedAt: END } as const;
    expect(refreshMs(call, ended + SETTLES_WITHIN_MS + 1)).toBe(false);
    expect(refreshMs({ ...call, endedAt: null }, ended)).toBe(false);
  });
});
