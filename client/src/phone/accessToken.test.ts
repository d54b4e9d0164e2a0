import { describe, expect, it } from 'vitest';
import { type AccessToken, refreshDueInMs } from './accessToken';

describe('an access token', () => {
  const token: AccessToken = {
    token: '',
    edge: null,
    identity: '',
    browser: '',
    expiresAt: '',
    receivedAtMs: 1_000,
    lifeMs: 100_000,
  };

  it('is refreshed at four fifths of its life, and later in a call', () => {
    expect(refreshDueInMs(token, 1_000, false)).toBe(80_000);
    expect(refreshDueInMs(token, 1_000, true)).toBe(95_000);
  });

  it('is refreshed at once if that time has passed, as after a sleep', () =>
    expect(refreshDueInMs(token, 999_000, false)).toBe(0));
});
