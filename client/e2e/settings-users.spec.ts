import type { Page } from '@playwright/test';
import { checkPage } from './axe';
import { ALICE, expect, test } from './server';

test.use({ users: [ALICE] });

async function signIn(page: Page, data: { name: string; password: string }) {
  expect((await page.request.post('/api/session', { data })).status()).toBe(200);
}

test.beforeEach(async ({ page }) => {
  await signIn(page, ALICE);
  await page.goto('/settings');
});

test('a user is added, gets another role and password, and is removed', async ({
  page,
  request,
}) => {
  const users = page.getByRole('region', { name: 'Users' });
  await users.getByRole('button', { name: 'Add user' }).click();
  const adding = page.getByRole('dialog', { name: 'Add a user' });
  await adding.getByLabel('Name').fill('alice');
  await adding.getByLabel('Password').fill('quite another phrase');
  await adding.getByRole('button', { name: 'Add user' }).click();
  await expect(adding.getByRole('alert')).toContainText(/with this name/i);
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

test('an API token is shown once, works, and can be revoked', async ({ page, server }) => {
  const tokens = page.getByRole('region', { name: 'API tokens' });
  await tokens.getByRole('button', { name: 'New token' }).click();
  await page.getByLabel('What it is for').fill('backup');
  await page.getByRole('button', { name: 'Create token' }).click();
  const shown = page.getByRole('dialog', { name: 'Copy this token now' });
  const secret = await shown.getByLabel('Token').inputValue();
  expect(secret).toMatch(/^cb_/);
  // Escape does not close the dialog.
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
  await tokens.getByRole('button', { name: 'Revoke backup' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
  await expect(tokens.getByText('No tokens.')).toBeVisible();
  expect(await status()).toBe(401);
});

test('a user changes their own password', async ({ page, server }) => {
  // Not the password of Alice, which other tests use on the same server.
  const dora = { name: 'dora', password: 'a phrase for dora' };
  server.run(['user', 'add', '--permanent', dora.name], `${dora.password}\n`);
  await signIn(page, dora);
  await page.reload();
  const account = page.getByRole('region', { name: 'Account' });
  await account.getByLabel('Current password').fill('not this one');
  await account.getByLabel('New password').fill('another horse altogether');
  await account.getByRole('button', { name: 'Change password' }).click();
  await expect(account.getByRole('alert')).toHaveText('The current password is wrong.');
  await account.getByLabel('Current password').fill(dora.password);
  await account.getByRole('button', { name: 'Change password' }).click();
  await expect(page.getByText('Password changed.')).toBeVisible();
  await expect(account.getByLabel('New password')).toHaveValue('');
  await page.reload();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Settings');
});

test('an admin sees and revokes the sessions and tokens of a user', async ({
  page,
  playwright,
  server,
}) => {
  const bob = { name: 'bob', password: 'a phrase for bob' };
  server.run(['user', 'add', '--permanent', bob.name], `${bob.password}\n`);
  const elsewhere = await playwright.request.newContext({
    baseURL: server.url,
    userAgent: 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0',
  });
  await elsewhere.post('/api/session', { data: bob });
  const data = { name: 'backup', scopes: ['calls:read'] };
  expect((await elsewhere.post('/api/tokens', { data })).status()).toBe(201);
  await page.reload();
  const users = page.getByRole('region', { name: 'Users' });
  await users.getByRole('button', { name: 'Access of bob' }).click();
  const access = page.getByRole('dialog', { name: 'Access of bob' });
  await expect(access.getByText('Firefox on Linux')).toBeVisible();
  await expect(access.getByText('from 127.0.0.1')).toBeVisible();
  await expect(access.getByText('None: the password is enough to sign in.')).toBeVisible();
  await checkPage(page);
  await access.getByRole('button', { name: 'Revoke backup' }).click();
  await expect(access.getByText('No tokens.')).toBeVisible();
  await access.getByRole('button', { name: 'Sign out Firefox on Linux' }).click();
  await expect(access.getByText('Not signed in.')).toBeVisible();
  expect((await elsewhere.get('/api/calls')).status()).toBe(401);
  await elsewhere.dispose();
});

test('another browser is listed, and can be signed out', async ({ page, playwright, server }) => {
  const elsewhere = await playwright.request.newContext({
    baseURL: server.url,
    userAgent: 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1',
  });
  await elsewhere.post('/api/session', { data: ALICE });
  await page.reload();
  const sessions = page.getByRole('region', { name: 'Signed-in browsers' });
  await expect(sessions.getByText('this browser')).toBeVisible();
  await sessions.getByRole('button', { name: 'Sign out Safari on iPhone' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Sign out', exact: true }).click();
  await expect(sessions.getByText('Safari on iPhone')).toBeHidden();
  expect((await elsewhere.get('/api/calls')).status()).toBe(401);
  await elsewhere.dispose();
});

test('a sensitive action asks for the password, and then continues with the same input', async ({
  page,
}) => {
  // The server once reports that the sign-in is too old.
  let isOld = true;
  await page.route('**/api/tokens', async (route) => {
    if (route.request().method() !== 'POST' || !isOld) return route.fallback();
    const error = { code: 'confirm_password', message: 'prove that it is you', requestId: '0' };
    return route.fulfill({ status: 403, json: { error } });
  });
  await page.route('**/api/session/confirm', async (route) => {
    const answer = await route.fetch();
    isOld = !answer.ok();
    return route.fulfill({ response: answer });
  });
  const tokens = page.getByRole('region', { name: 'API tokens' });
  await tokens.getByRole('button', { name: 'New token' }).click();
  await page.getByLabel('What it is for').fill('late');
  await page.getByRole('button', { name: 'Create token' }).click();
  const asked = page.getByRole('dialog', { name: 'Confirm that it is you' });
  await expect(asked.getByLabel('Your password')).toBeFocused();
  await checkPage(page);
  await page.keyboard.press('Escape');
  await expect(page.getByText('Nothing was changed')).toBeVisible();
  await expect(page.getByLabel('What it is for')).toHaveValue('late');
  await page.getByRole('button', { name: 'Create token' }).click();
  await asked.getByLabel('Your password').fill('not this one');
  await page.keyboard.press('Enter');
  await expect(asked.getByRole('alert')).toHaveText('The password is wrong.');
  await asked.getByLabel('Your password').fill(ALICE.password);
  await page.keyboard.press('Enter');
  await expect(page.getByRole('dialog', { name: 'Copy this token now' })).toBeVisible();
});

test('a user with a temporary password must choose a new one first', async ({ page, server }) => {
  await page.context().clearCookies();
  server.run(['user', 'add', 'carol'], 'what the admin typed\n');
  await page.goto('/calls');
  await page.getByLabel('Name').fill('carol');
  await page.getByLabel('Password').fill('what the admin typed');
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Choose your own password');
  await checkPage(page);
  await page.getByLabel('New password').fill('what the admin typed');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('alert')).toContainText('choose another');
  await page.getByLabel('New password').fill('a phrase of my own');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Calls');
});
