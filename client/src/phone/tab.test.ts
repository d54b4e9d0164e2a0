import { afterEach, beforeEach, expect, it, vi } from 'vitest';

/** The browser's locks, as far as pages ask for them without waiting. */
class Locks {
  readonly held = new Set<string>();

  request(name: string, _: LockOptions, given: (lock: object | null) => unknown) {
    const isFree = !this.held.has(name);
    if (isFree) this.held.add(name);
    return Promise.resolve(given(isFree ? {} : null));
  }
}

let locks: Locks;

/** The name of a page that is loaded now, in a tab that keeps what the test's storage holds. */
async function load(): Promise<string> {
  vi.resetModules();
  return (await import('./tab')).tabName();
}

beforeEach(() => {
  locks = new Locks();
  vi.stubGlobal('navigator', { locks });
  sessionStorage.clear();
});
afterEach(() => {
  vi.unstubAllGlobals();
});

it('keeps its name when it is loaded again', async () => {
  const first = await load();
  locks.held.clear();
  expect(await load()).toBe(first);
});

it('takes another name, and keeps that, if a page that is open has it', async () => {
  const first = await load();
  const copy = await load();
  expect(copy).not.toBe(first);
  locks.held.clear();
  expect(await load()).toBe(copy);
});

it('keeps its name in a browser without locks', async () => {
  vi.stubGlobal('navigator', {});
  const first = await load();
  expect(await load()).toBe(first);
});

it('has a name in a browser that keeps nothing', async () => {
  vi.stubGlobal('sessionStorage', undefined);
  const names = [await load(), await load()];
  expect(new Set(names).size).toBe(2);
});
