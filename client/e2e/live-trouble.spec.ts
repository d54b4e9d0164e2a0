/** The fixtures of `fixtures/live/` with problems, as the page shows them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import AxeBuilder from '@axe-core/playwright';
import type { Page } from '@playwright/test';
import type { CallEvent } from '../src/api/types';
import { mockChannel, transcriptOf } from './live';
import { expect, test } from './server';

const STORIES = join(import.meta.dirname, '../../fixtures/live');

/** Opens the page on a fixture; `until` sends its events up to the first one that matches. */
async function open(page: Page, story: string) {
  const lines = readFileSync(join(STORIES, `${story}.jsonl`), 'utf8')
    .trim()
    .split('\n');
  const [first, ...rest]: CallEvent[] = lines.map((line) => JSON.parse(line));
  if (!first) throw new Error(`${story} is empty`);
  const server = await mockChannel(page, first);
  await page.goto(`/calls/${first.callSid}/live`);
  await server.subscribed;
  await expect(page.getByRole('heading', { name: 'Listening…' })).toBeVisible();
  const until = (fits: (event: CallEvent) => boolean) => {
    for (let event = rest.shift(); event; event = rest.shift()) {
      server.send(event);
      if (fits(event)) return;
    }
    throw new Error(`${story} has no such event`);
  };
  const note = page.getByRole('status');
  return { server, until, note };
}

const isHealth = (health: string) => (event: CallEvent) =>
  event.type === 'engine' && event.health === health;

test('a delayed engine and an overloaded one are reported, and recover', async ({ page }) => {
  const { until, note } = await open(page, 'degraded-engine');
  until(isHealth('behind'));
  await expect(note.filter({ hasText: 'delayed by 1.8 s' })).toBeVisible();
  until(isHealth('behind'));
  await expect(note.filter({ hasText: 'delayed by 4.2 s' })).toBeVisible();
  until(isHealth('degraded'));
  await expect(note.filter({ hasText: 'some words are missing' })).toBeVisible();
  until((event) => event.type === 'segment');
  await expect(transcriptOf(page)).toContainText('Words are missing here');
  until(isHealth('ok'));
  await expect(note.filter({ hasText: /delayed|missing/ })).toHaveCount(0);
  await expect(transcriptOf(page)).toContainText('Words are missing here');
});

test('an echo of the other party is marked as one', async ({ page }) => {
  const { until } = await open(page, 'echo-of-the-other-party');
  const echo = transcriptOf(page).locator('[data-echo]');
  until((event) => event.type === 'partial' && event.partial.echo === true);
  await expect(echo).toContainText('Echo of the other party');
  until((event) => event.type === 'segment' && event.segment.echo === true);
  until((event) => event.type === 'segment');
  await expect(echo).toHaveCount(1);
  await expect(echo).toHaveAttribute('data-state', 'settled');
  await expect(echo).toContainText("Hello, I'd like to ask about my bill.");
  await expect(transcriptOf(page)).not.toContainText('spoken at the same time');
  const { violations } = await new AxeBuilder({ page }).include('[data-echo]').analyze();
  expect(violations).toEqual([]);
});

test('speech in another language is reported', async ({ page }) => {
  const { until, note } = await open(page, 'another-language');
  until((event) => event.type === 'language');
  const said = 'The other party seems to speak another language. This server transcribes English';
  await expect(note.filter({ hasText: said })).toBeVisible();
});

test('skipped updates are reported, and an empty utterance shows nothing', async ({ page }) => {
  const slow = await open(page, 'slow-listener');
  slow.until((event) => event.type === 'engine' && event.partialsMissed > 0);
  await expect(page.getByText('Some updates skipped')).toBeVisible();

  const quiet = await open(page, 'nothing-said-after-all');
  const open_ = transcriptOf(page).locator('[data-state="open"]');
  quiet.until((event) => event.type === 'partial');
  await expect(open_).toHaveCount(1);
  quiet.until((event) => event.type === 'segment' && event.segment.text === '');
  await expect(open_).toHaveCount(0);
});

test('a lost link is reported apart from the call, and reconnects', async ({ page }) => {
  const { server, until, note } = await open(page, 'normal-call');
  until((event) => event.type === 'segment');
  await page.clock.install();
  await server.drop();
  const catchingUp = note.filter({
    hasText: 'The transcript is catching up… The call itself continues.',
  });
  await expect(catchingUp).toBeVisible();
  await page.clock.fastForward(2_000);
  await expect(catchingUp).toHaveCount(0);
});

test('only final words are announced, and announcements can be turned off', async ({ page }) => {
  const { until } = await open(page, 'normal-call');
  const log = page.getByRole('log', { name: 'New words' });
  until((event) => event.type === 'partial');
  await expect(transcriptOf(page).locator('[data-state="open"]')).toHaveCount(1);
  await expect(log).toHaveText('');
  until((event) => event.type === 'segment');
  await expect(log).toHaveText('Anna: Good morning, this is Anna.');
  await expect(transcriptOf(page)).not.toHaveAttribute('aria-live');

  await page.evaluate(() =>
    localStorage.setItem('callburner.preferences', JSON.stringify({ announceWords: false })),
  );
  await page.reload();
  await expect(transcriptOf(page)).toBeVisible();
  await expect(log).toHaveCount(0);
});

test('a refused call shows the reason, and can be retried', async ({ page }) => {
  await page.clock.install();
  const callSid = `CA${'0'.repeat(31)}2`;
  let isAllowed = false;
  await mockChannel(page, {
    callSid,
    offset: 0,
    type: 'snapshot',
    epoch: 1,
    status: 'in-progress',
    engine: 'ok',
    segments: [],
    partials: [],
  });
  // Refuses in place of the server, since an open server lets anybody wait for a call.
  const error = { code: 'no_such_call', message: 'there is no such call', requestId: 'r' };
  await page.routeWebSocket('**/ws/transcriptions', (route) => {
    const server = route.connectToServer();
    route.onMessage((text) => {
      if (isAllowed) server.send(text);
      else route.send(JSON.stringify({ type: 'error', callSid, error }));
    });
  });
  await page.goto(`/calls/${callSid}/live`);
  const refused = page.getByRole('heading', { name: 'cannot be shown' });
  await expect(async () => {
    await page.clock.fastForward(10_000);
    await expect(refused).toBeVisible({ timeout: 500 });
  }).toPass();
  isAllowed = true;
  await page.getByRole('button', { name: 'Try again' }).click();
  await expect(refused).toHaveCount(0);
  await expect(page.getByRole('heading', { name: 'Listening…' })).toBeVisible();
});
