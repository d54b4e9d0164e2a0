/** Every screen and how to reach it, for checks that run on each of them. */
import type { Page } from '@playwright/test';
import { ALICE, expect, type Server } from './server';

interface Screen {
  name: string;
  /** The kind of server that has it. */
  on: 'open' | 'users' | 'new' | 'locked';
  go: (page: Page, server: Server) => Promise<void>;
}

/** The recorded call and its transcription end within this time. */
const CALL_ENDS_WITHIN_MS = 90_000;

const heading = (page: Page) => page.getByRole('heading', { level: 1 });

/** Starts the simulated call, or finds the one that plays. */
export async function simulatedCall(page: Page): Promise<string> {
  const begun = await page.request.post('/api/simulation');
  const { callSid } = begun.ok()
    ? await begun.json()
    : await (await page.request.get('/api/simulation')).json();
  return callSid;
}

/** A completed call with its transcript: the simulated one, played once per server. */
export async function finishedCall(page: Page): Promise<string> {
  const list = await (await page.request.get('/api/calls')).json();
  const known = list.calls.find((call: { status: string }) => call.status === 'completed');
  if (known) return known.sid;
  const sid = await simulatedCall(page);
  await expect
    .poll(async () => (await (await page.request.get(`/api/calls/${sid}`)).json()).transcript, {
      timeout: CALL_ENDS_WITHIN_MS,
    })
    .toBe('complete');
  return sid;
}

const opened = async (page: Page, path: string) => {
  await page.goto(path);
  await expect(heading(page)).toBeVisible();
};

const signIn = (page: Page) => page.request.post('/api/session', { data: ALICE });

export const SCREENS: readonly Screen[] = [
  { name: 'sign-in', on: 'users', go: (page) => opened(page, '/') },
  {
    name: 'set-up',
    on: 'new',
    go: (page) => opened(page, `/setup#${'A'.repeat(43)}`),
  },
  { name: 'nobody-yet', on: 'new', go: (page) => opened(page, '/') },
  { name: 'link-needed', on: 'locked', go: (page) => opened(page, '/') },
  {
    name: 'wrong-link',
    on: 'locked',
    go: (page) => opened(page, `/open#${'A'.repeat(43)}`),
  },
  { name: 'phone', on: 'open', go: (page) => opened(page, '/') },
  {
    name: 'live-call',
    on: 'open',
    go: async (page) => {
      const sid = await simulatedCall(page);
      await page.goto(`/calls/${sid}/live`);
      // Spoken after a quarter of the recorded call, so that the page has content.
      await expect(page.getByRole('main')).toContainText('selfish', { timeout: 60_000 });
    },
  },
  {
    name: 'call',
    on: 'open',
    go: async (page) => opened(page, `/calls/${await finishedCall(page)}?t=7.3`),
  },
  {
    name: 'calls',
    on: 'open',
    go: async (page) => {
      await finishedCall(page);
      await opened(page, '/calls');
    },
  },
  {
    name: 'settings',
    on: 'users',
    go: async (page) => {
      await signIn(page);
      await opened(page, '/settings');
      await expect(page.getByRole('region', { name: 'Users' })).toContainText(ALICE.name);
    },
  },
  {
    name: 'add-user',
    on: 'users',
    go: async (page) => {
      await signIn(page);
      await opened(page, '/settings');
      await page.getByRole('button', { name: 'Add user' }).click();
    },
  },
  {
    name: 'new-token',
    on: 'users',
    go: async (page) => {
      await signIn(page);
      await opened(page, '/settings');
      await page.getByRole('button', { name: 'New token' }).click();
    },
  },
  {
    name: 'remove-user',
    on: 'users',
    go: async (page) => {
      await signIn(page);
      const data = { name: 'bob', password: 'a phrase for bob alone', role: 'user' };
      await page.request.post('/api/users', { data });
      await opened(page, '/settings');
      await page.getByRole('button', { name: 'Remove bob' }).click();
    },
  },
  {
    name: 'shortcuts',
    on: 'open',
    go: async (page) => {
      await opened(page, '/calls');
      await page.keyboard.press('?');
      await expect(page.getByRole('dialog')).toBeVisible();
    },
  },
  {
    name: 'no-such-page',
    on: 'open',
    go: async (page) => {
      await page.goto('/nowhere');
      await expect(page.getByRole('heading', { name: 'There is no such page.' })).toBeVisible();
    },
  },
];
