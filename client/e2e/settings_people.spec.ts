import { ALICE, expect, test } from './server';

test.use({ users: [ALICE] });

test.beforeEach(async ({ page }) => {
  await page.request.post('/api/session', { data: ALICE });
  await page.goto('/settings');
});

test('adds a user, changes the role and password, and removes the user', async ({
  page,
  request,
}) => {
  const users = page.getByRole('region', { name: 'Users' });
  await users.getByRole('button', { name: 'Add user' }).click();
  const adding = page.getByRole('dialog', { name: 'Add a user' });
  await adding.getByLabel('Name').fill('alice');
  await adding.getByLabel('Password').fill('quite another phrase');
  await adding.getByRole('button', { name: 'Add user' }).click();
  await expect(adding.getByRole('alert')).toContainText(/taken|there is/i);
  await adding.getByLabel('Name').fill('bob');
  await adding.getByRole('button', { name: 'Add user' }).click();
  await expect(adding).toBeHidden();
  const signsIn = async (password: string) =>
    (await request.post('/api/session', { data: { name: 'bob', password } })).ok();
  expect(await signsIn('quite another phrase')).toBe(true);

  const bob = users.getByRole('listitem').filter({ hasText: 'bob' });
  await bob.getByLabel('Role of bob').selectOption('admin');
  await expect
    .poll(async () => (await (await page.request.get('/api/users')).json()).users[1].role)
    .toBe('admin');

  await bob.getByRole('button', { name: 'New password for bob' }).click();
  await page.getByRole('dialog').getByLabel('Password').fill('a phrase for bob alone');
  await page.getByRole('button', { name: 'Set password' }).click();
  await expect(page.getByText('bob has a new password.')).toBeVisible();
  expect(await signsIn('quite another phrase')).toBe(false);
  expect(await signsIn('a phrase for bob alone')).toBe(true);

  await bob.getByRole('button', { name: 'Remove bob' }).click();
  await page.getByRole('button', { name: 'Cancel' }).click();
  await expect(bob).toBeVisible();
  await bob.getByRole('button', { name: 'Remove bob' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Remove', exact: true }).click();
  await expect(bob).toBeHidden();
  expect(await signsIn('a phrase for bob alone')).toBe(false);
});

test('makes a token that is shown once, works, and is taken back', async ({ page, server }) => {
  const tokens = page.getByRole('region', { name: 'API tokens' });
  await tokens.getByRole('button', { name: 'New token' }).click();
  await page.getByLabel('What it is for').fill('backup');
  await page.getByRole('button', { name: 'Create token' }).click();
  const shown = page.getByRole('dialog', { name: 'Copy this token now' });
  const secret = await shown.getByLabel('Token').inputValue();
  expect(secret).toMatch(/^cb_/);
  // Not lost by an Escape.
  await page.keyboard.press('Escape');
  await shown.getByRole('button', { name: 'Copy' }).click();
  await expect(shown.getByText('Copied.')).toBeVisible();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(secret);
  await shown.getByRole('button', { name: 'Done' }).click();
  await expect(tokens.getByRole('listitem').filter({ hasText: 'backup' })).toBeVisible();
  expect(await page.content()).not.toContain(secret);

  const status = async () =>
    (await fetch(`${server.url}/api/calls`, { headers: { authorization: `Bearer ${secret}` } }))
      .status;
  expect(await status()).toBe(200);
  await tokens.getByRole('button', { name: 'Take back backup' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Take back' }).click();
  await expect(tokens.getByText('No tokens.')).toBeVisible();
  expect(await status()).toBe(401);
});

test('changes the own password', async ({ page }) => {
  const account = page.getByRole('region', { name: 'Account' });
  await account.getByLabel('Current password').fill('not this one');
  await account.getByLabel('New password').fill('another horse altogether');
  await account.getByRole('button', { name: 'Change password' }).click();
  await expect(account.getByRole('alert')).toHaveText('The current password is wrong.');
  await account.getByLabel('Current password').fill(ALICE.password);
  await account.getByRole('button', { name: 'Change password' }).click();
  await expect(page.getByText('Password changed.')).toBeVisible();
  await expect(account.getByLabel('New password')).toHaveValue('');
  await page.reload();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Settings');
});
