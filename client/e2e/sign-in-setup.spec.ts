import { ALICE, expect, test } from './server';

// A server that is reachable from outside, without users.
test.use({ settings: { PUBLIC_BASE_URL: '$URL' } });

test('the page says where the setup link is', async ({ page }) => {
  await page.goto('/');
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Nobody can sign in yet');
  await expect(page.getByText('callburner user add NAME')).toBeVisible();
});

test('an invalid link says how to get another one', async ({ page }) => {
  await page.goto(`/setup#${'A'.repeat(43)}`);
  await page.getByLabel('Name').fill('alice');
  await page.getByLabel('Password').fill(ALICE.password);
  await page.getByRole('button', { name: 'Create account' }).click();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('This link is no longer valid');
  await expect(page.getByText('Restart the server to print a new link.')).toBeVisible();
});

test('the printed link creates the first user, and its secret never shows', async ({
  page,
  server,
}) => {
  const secret = /\/setup#(\S+)/.exec(server.log())?.[1] ?? '';
  expect(secret).not.toBe('');
  await page.goto(`/setup#${secret}`);
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Welcome');
  expect(page.url()).toBe(`${server.url}/setup`);

  await page.getByLabel('Name').fill('alice');
  await page.getByLabel('Password').fill('password');
  await page.getByRole('button', { name: 'Create account' }).click();
  await expect(page.getByText(/too easy to guess/)).toBeVisible();
  await page.getByLabel('Password').fill(ALICE.password);
  await page.getByRole('button', { name: 'Create account' }).click();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Phone');
  expect(page.url()).toBe(`${server.url}/`);

  await page.context().clearCookies();
  await page.goto(`/setup#${secret}`);
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('This server is set up');
});
