import type { Page } from '@playwright/test';
import { callOf, shownWords, simulate, transcriptOf, wordsOf } from './live';
import { expect, test } from './server';

/** A network that can silently drop everything between page and server. */
async function network(page: Page) {
  const state = { isCut: false, connections: 0 };
  await page.routeWebSocket('**/ws/transcriptions', (route) => {
    state.connections += 1;
    const server = route.connectToServer();
    route.onMessage((message) => {
      if (!state.isCut) server.send(message);
    });
    server.onMessage((message) => {
      if (!state.isCut) route.send(message);
    });
  });
  return state;
}

test('a tab that slept for ten minutes misses no final', async ({ page }) => {
  const line = await network(page);
  await page.clock.install();
  const callSid = await simulate(page);
  await page.goto(`/calls/${callSid}/live`);
  const settled = transcriptOf(page).locator('[data-state="settled"]');
  await expect.poll(() => settled.count(), { timeout: 30_000 }).toBeGreaterThanOrEqual(2);
  const first = await settled.first().elementHandle();

  line.isCut = true;
  const status = async () => (await callOf(page, callSid)).status;
  await expect.poll(status, { timeout: 60_000 }).toBe('completed');
  const missed = (await wordsOf(page, callSid)).length - (await settled.count());
  expect(missed).toBeGreaterThan(2);
  const connections = line.connections;
  await page.clock.fastForward('10:00');
  await expect(page.getByRole('status').filter({ hasText: 'catching up' })).toBeVisible();

  line.isCut = false;
  // The machine wakes.
  await page.evaluate(() => window.dispatchEvent(new Event('pageshow')));
  await expect.poll(() => shownWords(page)).toEqual(await wordsOf(page, callSid));
  expect(line.connections).toBeGreaterThan(connections);
  // The existing lines are the same elements: nothing rendered again.
  expect(await first?.evaluate((node) => node.isConnected)).toBe(true);
  await expect(page.getByRole('status').filter({ hasText: 'catching up' })).toHaveCount(0);
  await expect(page.getByRole('link', { name: 'Open this call' })).toBeVisible();
});

test('after a crash of the server the page shows what the server stored', async ({
  page,
  server,
}) => {
  const callSid = await simulate(page);
  await page.goto(`/calls/${callSid}/live`);
  const settled = transcriptOf(page).locator('[data-state="settled"]');
  await expect.poll(() => settled.count(), { timeout: 30_000 }).toBeGreaterThanOrEqual(3);
  await server.restart();
  await expect.poll(() => shownWords(page)).toEqual(await wordsOf(page, callSid));
  expect(await settled.count()).toBeGreaterThanOrEqual(2);
  // The page waits up to 30 s between two attempts to reconnect.
  const open = transcriptOf(page).locator('[data-state="open"]');
  await expect(open).toHaveCount(0, { timeout: 60_000 });
});

test('an unknown call shows an error', async ({ page }) => {
  await page.goto(`/calls/CA${'f'.repeat(32)}/live`);
  await expect(page.getByRole('heading', { name: /no such call/i })).toBeVisible({
    timeout: 30_000,
  });
  await page.getByRole('link', { name: 'Back to the phone' }).click();
  await expect(page).toHaveURL('/');
});
