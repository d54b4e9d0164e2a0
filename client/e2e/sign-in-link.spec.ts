import { expect, test } from './server';

// A browser that has not opened the printed link.
test.use({ isLinkOpened: false });

const heading = 'Open the printed link';

test('a server without users is closed, and says where its link is', async ({ page, server }) => {
  await page.goto('/calls');
  await expect(page.getByRole('heading', { level: 1 })).toHaveText(heading);
  await expect(page.getByText('callburner user add NAME')).toBeVisible();
  const answer = await page.request.get(`${server.url}/api/calls`);
  expect(answer.status()).toBe(401);
});

test('a link of another server shows an error', async ({ page }) => {
  await page.goto(`/open#${'A'.repeat(43)}`);
  await expect(page.getByRole('heading', { level: 1 })).toHaveText(
    'This link does not open this server',
  );
  await expect(page.getByText('Restart the server to print the link again.')).toBeVisible();
});

test('the printed link works each time, and its secret never shows', async ({ page, server }) => {
  const link = `/open#${server.pageKey()}`;
  for (let time = 0; time < 2; time++) {
    await page.goto(link);
    await expect(page.getByRole('heading', { level: 1 })).toHaveText('Phone');
    expect(page.url()).toBe(`${server.url}/`);
    await page.context().clearCookies();
    await page.goto('/calls');
    await expect(page.getByRole('heading', { level: 1 })).toHaveText(heading);
  }
  await page.goto(link);
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Phone');
  // The browser keeps its access after a restart of the server.
  await server.restart();
  await page.goto('/calls');
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Calls');
});
