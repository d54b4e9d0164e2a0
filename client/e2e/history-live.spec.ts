/** A call in progress, seen in the call list until it has ended. */
import { startCall } from './history-calls';
import { expect, test } from './server';

test.use({ settings: { ARCHIVE: 'true' } });

/** The page size of the server. */
const PAGE_CALLS = 50;

test('scrolling loads more calls, with every outcome', async ({ page }) => {
  const outcomes = ['completed', 'no-answer', 'busy', 'canceled', 'failed'];
  const callAt = (n: number) => ({
    sid: `CA${String(n).padStart(32, '0')}`,
    direction: n % 3 ? 'outgoing' : 'incoming',
    status: outcomes[n % outcomes.length],
    from: n % 3 ? 'alice' : `+1415555${String(1_000 + n)}`,
    to: n % 3 ? `+1415555${String(1_000 + n)}` : 'alice',
    startedAt: new Date(Date.now() - n * 3_600_000).toISOString(),
    answeredAt: null,
    endedAt: null,
    durationSeconds: n % outcomes.length ? null : 60 + n,
    endCause: n % outcomes.length === 4 ? 'country_not_allowed' : null,
    transcript: n % outcomes.length ? 'off' : 'complete',
    recording: null,
    announced: false,
    hasAudio: false,
    notes: '',
    labels: [],
    hits: [],
  });
  await page.route('**/api/calls?*', (route) => {
    const params = new URL(route.request().url()).searchParams;
    const from = Number(params.get('cursor') ?? 0);
    const calls = params.has('status')
      ? []
      : Array.from({ length: PAGE_CALLS }, (_, at) => callAt(from + at));
    const next = from + PAGE_CALLS;
    return route.fulfill({ json: { calls, next: next < 4 * PAGE_CALLS ? String(next) : null } });
  });
  await page.goto('/calls');
  const rows = page.getByRole('main').locator('section li');
  await expect(rows).toHaveCount(PAGE_CALLS);
  await expect(rows.nth(3)).toContainText('Missed');
  await expect(rows.nth(4)).toContainText('Not connected');
  await rows.last().scrollIntoViewIfNeeded();
  await expect(rows).toHaveCount(2 * PAGE_CALLS);
  // The button works without scrolling.
  await page.getByRole('button', { name: 'Show more calls' }).press('Enter');
  await expect.poll(() => rows.count()).toBeGreaterThanOrEqual(3 * PAGE_CALLS);
});

test('an empty list offers the recorded call', async ({ page }) => {
  await page.goto('/calls');
  await expect(page.getByRole('heading', { name: 'No calls yet' })).toBeVisible();
  await expect(page.getByRole('button', { name: 'Play the recorded call' })).toBeVisible();
});

test('a call in progress is listed first, and its page shows the player when it ends', async ({
  page,
  server,
}) => {
  await page.goto('/calls');
  await startCall(server);
  const now = page.getByRole('region', { name: 'Now' });
  await expect(now).toContainText('In progress');
  await now.getByRole('link', { name: 'Recorded customer' }).click();
  const main = page.getByRole('main');
  await expect(main).toContainText('young man', { timeout: 30_000 });
  await expect(main).toContainText('This call is in progress');
  await expect(page.locator('audio')).toHaveCount(0);
  await expect(page.getByRole('region', { name: 'Player' })).toBeVisible({ timeout: 60_000 });
  await expect(page.getByRole('list', { name: 'Transcript' })).toContainText('Goodbye');
  await page.getByRole('main').getByRole('link', { name: 'Calls' }).click();
  await expect(page.getByRole('region', { name: 'Today' })).toContainText('Answered');
  await expect(now).toHaveCount(0);
});
