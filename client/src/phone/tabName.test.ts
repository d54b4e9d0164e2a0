import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { claimTabName } from './tabName';

/** Grants or denies locks without waiting, as the browser does with `ifAvailable`. */
class Locks {
  readonly held = new Set<string>();

  request(name: string, _: LockOptions, given: (lock: object | null) => unknown) {
    const isFree = !this.held.has(name);
    if (isFree) this.held.add(name);
    return Promise.resolve(given(isFree ? {} : null));
  }
}

let locks: Locks;

/** Returns the name of a page that loads now, in a tab with the test's session storage. */
const load = claimTabName;

beforeEach(() => {
  locks = new Locks();
  vi.stubGlobal('navigator', { locks });
  sessionStorage.clear();
});
afterEach(() => {
  vi.unstubAllGlobals();
});

it('keeps its name after a reload', async () => {
  const first = await load();
  locks.held.clear();
  expect(await load()).toBe(first);
});

it('takes and keeps another name if an open page has it', async () => {
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

it('has a name in a browser without storage', async () => {
  vi.stubGlobal('sessionStorage', undefined);
  const names = [await load(), await load()];
  expect(new Set(names).size).toBe(2);
});
