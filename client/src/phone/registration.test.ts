import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ApiError } from '../api/client';
import { FIRST_WAIT_MS } from '../live/backoff';
import { Registration, type Told } from './registration';

/** A registration, what the server heard of it, and how the test answers. */
function setUp() {
  const heard: (Told | string)[] = [];
  const outcomes: string[] = [];
  const answers: { take: () => void; refuse: (thrown: unknown) => void }[] = [];
  let made = 0;
  const registration = new Registration({
    register: (told) => {
      heard.push(told);
      return new Promise<void>((take, refuse) => answers.push({ take, refuse }));
    },
    unregister: (id) => {
      heard.push(id);
      return Promise.resolve();
    },
    onTold: () => outcomes.push('told'),
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
    if (thrown === undefined) next.take();
    else next.refuse(thrown);
    await vi.advanceTimersByTimeAsync(0);
  };
  return { registration, heard, outcomes, answer };
}

const told = (id: string, expiresAt = 'soon') => ({ id, browser: 'tab', expiresAt });
const unreachable = new ApiError('unreachable', 'x', 0);

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a registration', () => {
  it('is told once, and again when the server may have restarted, under one name', async () => {
    const { registration, heard, outcomes, answer } = setUp();
    registration.repeat();
    expect(heard).toEqual([]);
    registration.begin('tab', 'soon');
    await answer();
    registration.repeat();
    await answer();
    registration.begin('tab', 'later');
    await answer();
    expect(heard).toEqual([told('id-1'), told('id-1'), told('id-1', 'later')]);
    expect(outcomes).toEqual(['told', 'told', 'told']);
  });

  it('is told once more, and not twice at once, if it is repeated on its way', async () => {
    const { registration, heard, answer } = setUp();
    registration.begin('tab', 'soon');
    registration.begin('tab', 'later');
    registration.repeat();
    expect(heard).toHaveLength(1);
    await answer();
    expect(heard).toEqual([told('id-1'), told('id-1', 'later')]);
    await answer();
    expect(heard).toHaveLength(2);
  });

  it('is told until the server takes it', async () => {
    const { registration, heard, outcomes, answer } = setUp();
    registration.begin('tab', 'soon');
    await answer(unreachable);
    expect(heard).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(FIRST_WAIT_MS);
    expect(heard).toHaveLength(2);
    await answer(unreachable);
    await vi.advanceTimersByTimeAsync(2 * FIRST_WAIT_MS);
    await answer();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(heard).toHaveLength(3);
    expect(outcomes).toEqual(['unreachable', 'unreachable', 'told']);
  });

  it.each([new ApiError('sign_in_required', 'x', 401), new ApiError('pass_over', 'x', 409)])(
    'is not told again after $code',
    async (thrown) => {
      const { registration, heard, outcomes, answer } = setUp();
      registration.begin('tab', 'soon');
      await answer(thrown);
      await vi.advanceTimersByTimeAsync(60_000);
      expect(heard).toHaveLength(1);
      expect(outcomes).toEqual([thrown.code]);
    },
  );

  it('ends alone, and the next one has another name', async () => {
    const { registration, heard, outcomes, answer } = setUp();
    registration.begin('tab', 'soon');
    await answer();
    registration.end();
    registration.end();
    registration.repeat();
    registration.begin('tab', 'soon');
    await answer();
    expect(heard).toEqual([told('id-1'), 'id-1', told('id-2')]);
    expect(outcomes).toEqual(['told', 'told']);
  });

  it('stays ended if the server hears its beginning last', async () => {
    const { registration, heard, outcomes, answer } = setUp();
    registration.begin('tab', 'soon');
    registration.end();
    await answer();
    expect(heard).toEqual([told('id-1'), 'id-1', 'id-1']);
    expect(outcomes).toEqual([]);
    // And if that failed, nothing is tried again.
    registration.begin('tab', 'soon');
    registration.end();
    await answer(unreachable);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(heard).toEqual([told('id-1'), 'id-1', 'id-1', told('id-2'), 'id-2', 'id-2']);
  });
});
