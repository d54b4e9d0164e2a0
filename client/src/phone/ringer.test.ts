import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { settle } from './fakes';
import { Ringer } from './ringer';

const SID = 'CA1';

interface Waiting {
  name: string;
  run: () => void;
}

/** The locks of a browser: one holder of each name, and the others wait in turn. */
class FakeLocks {
  readonly #held = new Set<string>();
  #queue: Waiting[] = [];

  request<T>(name: string, ...rest: [LockGrantedCallback<T>]): Promise<T>;
  request<T>(name: string, ...rest: [LockOptions, LockGrantedCallback<T>]): Promise<T>;
  request<T>(
    name: string,
    ...rest: [LockGrantedCallback<T>] | [LockOptions, LockGrantedCallback<T>]
  ): Promise<T> {
    const [options, granted] = rest.length === 1 ? [{}, rest[0]] : rest;
    return new Promise<T>((resolve, reject) => {
      const waiting: Waiting = {
        name,
        run: () => {
          this.#held.add(name);
          Promise.resolve(granted({ name, mode: 'exclusive' }) as T)
            .finally(() => {
              this.#held.delete(name);
              this.#grant();
            })
            .then(resolve, reject);
        },
      };
      options.signal?.addEventListener('abort', () => {
        const before = this.#queue.length;
        this.#queue = this.#queue.filter((other) => other !== waiting);
        if (this.#queue.length < before) reject(new DOMException('', 'AbortError'));
      });
      this.#queue.push(waiting);
      this.#grant();
    });
  }

  #grant() {
    const next = this.#queue.find(({ name }) => !this.#held.has(name));
    if (!next) return;
    this.#queue = this.#queue.filter((other) => other !== next);
    next.run();
  }
}

let locks: FakeLocks;
let ringing: string[];

/** Creates the ringer of a tab; null stands for a browser without locks. */
const tab = (name: string, shared: FakeLocks | null = locks) =>
  new Ringer({
    locks: shared ?? undefined,
    alert: (callSid, party) => {
      const alert = `${name}: ${callSid} ${party}`;
      ringing.push(alert);
      return () => {
        ringing = ringing.filter((other) => other !== alert);
      };
    },
  });

beforeEach(() => {
  vi.useFakeTimers();
  locks = new FakeLocks();
  ringing = [];
});
afterEach(() => {
  vi.useRealTimers();
});

it('rings until it is stopped', async () => {
  const stop = tab('first').start(SID, 'Ada');
  await settle();
  expect(ringing).toEqual(['first: CA1 Ada']);
  stop();
  stop();
  expect(ringing).toEqual([]);
});

it('rings in one tab, and in the next one after that', async () => {
  const stopFirst = tab('first').start(SID, 'Ada');
  const stopSecond = tab('second').start(SID, 'Ada');
  await settle();
  expect(ringing).toEqual(['first: CA1 Ada']);
  stopFirst();
  await settle();
  expect(ringing).toEqual(['second: CA1 Ada']);
  stopSecond();
  expect(ringing).toEqual([]);
});

it('does not ring in a tab that was stopped while another one rang', async () => {
  const stopFirst = tab('first').start(SID, 'Ada');
  const stopSecond = tab('second').start(SID, 'Ada');
  await settle();
  stopSecond();
  stopFirst();
  await settle();
  expect(ringing).toEqual([]);
});

it('rings for each call in a tab of its own', async () => {
  tab('first').start(SID, 'Ada');
  tab('second').start('CA2', 'Bob');
  await settle();
  expect(ringing).toEqual(['first: CA1 Ada', 'second: CA2 Bob']);
});

it('does not ring if it is stopped between the grant of the lock and its turn', async () => {
  let grant = () => {};
  const lateLocks = new FakeLocks();
  lateLocks.request = (_: string, ...rest: unknown[]) => {
    const granted = rest.at(-1);
    return new Promise((resolve) => {
      grant = () => resolve(typeof granted === 'function' ? granted() : undefined);
    });
  };
  const stop = tab('first', lateLocks).start(SID, 'Ada');
  stop();
  grant();
  await settle();
  expect(ringing).toEqual([]);
});

it('rings in each tab of a browser without locks', () => {
  const stop = tab('first', null).start(SID, 'Ada');
  tab('second', null).start(SID, 'Ada');
  expect(ringing).toEqual(['first: CA1 Ada', 'second: CA1 Ada']);
  stop();
  expect(ringing).toEqual(['second: CA1 Ada']);
});
