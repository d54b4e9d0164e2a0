/** A call that goes on, seen from the history, until it is over. */
import { beginCall } from './history-calls';
import { expect, test } from './server';

test.use({ settings: { ARCHIVE: 'true' } });

test('a newcomer is led to the recorded call', async ({ page }) => {
  await page.goto('/calls');
  await expect(page.getByRole('heading', { name: 'No calls yet' })).toBeVisible();
  await expect(page.getByRole('button', { name: 'Play the recorded call' })).toBeVisible();
});

test('a call that goes on is on top, and its page becomes a player by itself', async ({
  page,
  server,
}) => {
  await page.goto('/calls');
  await beginCall(server.url);
  const now = page.getByRole('region', { name: 'Now' });
  await expect(now).toContainText('In progress');
  await now.getByRole('link', { name: 'Recorded customer' }).click();
  await expect(page.getByRole('main')).toContainText('young man', { timeout: 45_000 });
  await expect(page.locator('audio')).toHaveCount(0);
  await expect(page.getByRole('region', { name: 'Player' })).toBeVisible({ timeout: 60_000 });
  await expect(page.getByRole('list', { name: 'Transcript' })).toContainText('Goodbye');
  await page.getByRole('main').getByRole('link', { name: 'Calls' }).click();
  await expect(page.getByRole('region', { name: 'Today' })).toContainText('Answered');
  await expect(now).toHaveCount(0);
});
