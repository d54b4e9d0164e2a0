import { ALICE, expect, test } from './server';

// Others reach it, and it has no users.
test.use({ settings: { PUBLIC_BASE_URL: '$URL' } });

test('says where the link is', async ({ page }) => {
  await page.goto('/');
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Nobody can sign in yet');
  await expect(page.getByText('callburner user add NAME')).toBeVisible();
});

test('a link that is not good says how to get another', async ({ page }) => {
  await page.goto(`/setup#${'A'.repeat(43)}`);
  await page.getByLabel('Name').fill('alice');
  await page.getByLabel('Password').fill(ALICE.password);
  await page.getByRole('button', { name: 'Create account' }).click();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText(
    'This link is not good any more',
  );
  await expect(page.getByText('Restart the server: it prints another link.')).toBeVisible();
});

test('the printed link leads in, and its secret is seen nowhere', async ({ page, server }) => {
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
