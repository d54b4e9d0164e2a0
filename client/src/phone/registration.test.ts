import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ApiError } from '../api/client';
import { FIRST_WAIT_MS } from '../live/backoff';
import { Registration, type RegistrationBody } from './registration';

/** Creates a registration; the test is the server: it sees the requests and answers them. */
function setUp() {
  const requests: (RegistrationBody | string)[] = [];
  const outcomes: string[] = [];
  const answers: { accept: () => void; refuse: (thrown: unknown) => void }[] = [];
  let made = 0;
  const registration = new Registration({
    register: (body) => {
      requests.push(body);
      return new Promise<void>((accept, refuse) => answers.push({ accept, refuse }));
    },
    unregister: (id) => {
      requests.push(id);
      return Promise.resolve();
    },
    onRegistered: () => outcomes.push('registered'),
    onFailed: (thrown) => outcomes.push(thrown instanceof ApiError ? thrown.code : 'failed'),
    newId: () => {
      made += 1;
      return `id-${made}`;
    },
    chance: () => 1,
  });
  const answer = async (thrown?: unknown) => {
    const next = answers.shift();
    if (!next) throw new Error('nothing was asked');
    if (thrown === undefined) next.accept();
    else next.refuse(thrown);
    await vi.advanceTimersByTimeAsync(0);
  };
  return { registration, requests, outcomes, answer };
}

const body = (id: string, expiresAt = 'soon') => ({ id, browser: 'tab', expiresAt });
const unreachable = new ApiError('unreachable', 'x', 0);

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a registration', () => {
  it('is reported once, and again when the server may have restarted, under one id', async () => {
    const { registration, requests, outcomes, answer } = setUp();
    registration.repeat();
    expect(requests).toEqual([]);
    registration.begin('tab', 'soon');
    await answer();
    registration.repeat();
    await answer();
    registration.begin('tab', 'later');
    await answer();
    expect(requests).toEqual([body('id-1'), body('id-1'), body('id-1', 'later')]);
    expect(outcomes).toEqual(['registered', 'registered', 'registered']);
  });

  it('is reported once more, and not twice at once, if it is repeated while it is sent', async () => {
    const { registration, requests, answer } = setUp();
    registration.begin('tab', 'soon');
    registration.begin('tab', 'later');
    registration.repeat();
    expect(requests).toHaveLength(1);
    await answer();
    expect(requests).toEqual([body('id-1'), body('id-1', 'later')]);
    await answer();
    expect(requests).toHaveLength(2);
  });

  it('is reported until the server accepts it', async () => {
    const { registration, requests, outcomes, answer } = setUp();
    registration.begin('tab', 'soon');
    await answer(unreachable);
    expect(requests).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(FIRST_WAIT_MS);
    expect(requests).toHaveLength(2);
    await answer(unreachable);
    await vi.advanceTimersByTimeAsync(2 * FIRST_WAIT_MS);
    await answer();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(requests).toHaveLength(3);
    expect(outcomes).toEqual(['unreachable', 'unreachable', 'registered']);
  });

  it.each([new ApiError('sign_in_required', 'x', 401), new ApiError('pass_over', 'x', 409)])(
    'is not reported again after $code',
    async (thrown) => {
      const { registration, requests, outcomes, answer } = setUp();
      registration.begin('tab', 'soon');
      await answer(thrown);
      await vi.advanceTimersByTimeAsync(60_000);
      expect(requests).toHaveLength(1);
      expect(outcomes).toEqual([thrown.code]);
    },
  );

  it('ends alone, and the next one has another id', async () => {
    const { registration, requests, outcomes, answer } = setUp();
    registration.begin('tab', 'soon');
    await answer();
    registration.end();
    registration.end();
    registration.repeat();
    registration.begin('tab', 'soon');
    await answer();
    expect(requests).toEqual([body('id-1'), 'id-1', body('id-2')]);
    expect(outcomes).toEqual(['registered', 'registered']);
  });

  it('stays ended if the server gets its beginning last', async () => {
    const { registration, requests, outcomes, answer } = setUp();
    registration.begin('tab', 'soon');
    registration.end();
    await answer();
    expect(requests).toEqual([body('id-1'), 'id-1', 'id-1']);
    expect(outcomes).toEqual([]);
    // And if that failed, nothing is tried again.
    registration.begin('tab', 'soon');
    registration.end();
    await answer(unreachable);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(requests).toEqual([body('id-1'), 'id-1', 'id-1', body('id-2'), 'id-2', 'id-2']);
  });
});
