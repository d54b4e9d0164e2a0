import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ApiError } from '../api/client';
import { t } from '../strings';
import { endingOf } from './ending';
import { needsToken, troubleOf, troubleOfCode } from './errors';
import { dueInMs, type Pass } from './pass';
import { qualityOf } from './quality';

describe('an error', () => {
  it('has a cause for every code that the SDK knows', () => {
    const list = readFileSync(
      'node_modules/@twilio/voice-sdk/esm/twilio/errors/generated.js',
      'utf8',
    );
    const codes = [...list.matchAll(/this\.code = (\d+)/g)].map(([, code]) => Number(code));
    expect(codes.length).toBeGreaterThan(30);
    for (const code of codes) expect([code, troubleOfCode(code).cause]).not.toContain('unknown');
  });

  it('is told in words, with what to do', () => {
    for (const { what, todo } of Object.values(t.phone.trouble)) {
      expect(what).toMatch(/\.$/);
      expect(todo).toMatch(/\.$/);
    }
  });

  it.each([
    [new DOMException('', 'NotAllowedError'), 'no-permission'],
    [new DOMException('', 'NotFoundError'), 'no-microphone'],
    [new DOMException('', 'NotReadableError'), 'microphone-busy'],
    [Object.assign(new Error(), { code: 31205 }), 'token-expired'],
    [new ApiError('unreachable', 'x', 0), 'no-internet'],
    [new ApiError('twilio_not_set_up', 'calls need A', 503), 'server'],
    [new TypeError('Failed to fetch dynamically imported module: x'), 'sdk-not-loaded'],
    ['what?', 'unknown'],
    [null, 'unknown'],
  ])('%s is %s', (thrown, cause) => expect(troubleOf(thrown).cause).toBe(cause));

  it('keeps what the server said', () => {
    const thrown = new ApiError('twilio_not_set_up', 'calls need TWILIO_API_KEY', 503);
    expect(troubleOf(thrown).message).toBe('calls need TWILIO_API_KEY');
  });

  it('of a token is mended with another', () => {
    expect(needsToken(troubleOfCode(20104))).toBe(true);
    expect(needsToken(troubleOfCode(31486))).toBe(false);
  });
});

describe('a pass', () => {
  const pass: Pass = {
    token: '',
    edge: null,
    identity: '',
    browser: '',
    expiresAt: '',
    receivedAtMs: 1_000,
    lifeMs: 100_000,
  };

  it('is replaced at four fifths of its life, and later in a call', () => {
    expect(dueInMs(pass, 1_000, false)).toBe(80_000);
    expect(dueInMs(pass, 1_000, true)).toBe(95_000);
  });

  it('is replaced at once if that passed, as after a sleep', () =>
    expect(dueInMs(pass, 999_000, false)).toBe(0));
});

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

describe('the end of a call', () => {
  const seen = { direction: 'outgoing', by: 'them', trouble: null, talkedMs: 0 } as const;

  it.each([
    [{ ...seen, talkedMs: 5 }, { status: 'completed' }, 'they-hung-up'],
    [{ ...seen, by: 'us', talkedMs: 5 }, undefined, 'you-hung-up'],
    [{ ...seen, by: 'us' }, undefined, 'cancelled'],
    [seen, { status: 'busy', endCause: 'busy' }, 'busy'],
    [seen, { status: 'no-answer' }, 'no-answer'],
    [seen, { status: 'failed' }, 'not-connected'],
    [seen, { status: 'completed', endCause: 'country_not_allowed' }, 'country-not-allowed'],
    [{ ...seen, trouble: troubleOfCode(31486) }, undefined, 'busy'],
    [{ ...seen, trouble: troubleOfCode(31603) }, undefined, 'declined'],
    [{ ...seen, by: 'failure', talkedMs: 5 }, undefined, 'connection-lost'],
    [{ ...seen, by: 'failure' }, undefined, 'not-connected'],
    [{ ...seen, direction: 'incoming' }, undefined, 'caller-gone'],
    [{ ...seen, direction: 'incoming' }, { status: 'canceled' }, 'caller-gone'],
    [{ ...seen, direction: 'incoming', by: 'failure' }, undefined, 'no-line'],
    [{ ...seen, by: 'failure', trouble: troubleOfCode(31005) }, undefined, 'no-line'],
    [{ ...seen, by: 'failure', trouble: troubleOfCode(53000) }, undefined, 'no-line'],
    [{ ...seen, by: 'failure', trouble: troubleOfCode(53405) }, undefined, 'no-line'],
    [{ ...seen, by: 'failure', trouble: troubleOfCode(31404) }, undefined, 'not-connected'],
  ] as const)('%o, %o: %s', (what, record, ending) => expect(endingOf(what, record)).toBe(ending));
});
