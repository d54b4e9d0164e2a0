import type { Page } from '@playwright/test';
import { signInByKeyboard } from './keys';
import { ALICE, expect, test } from './server';

const signIn = async (page: Page, { name, password } = ALICE) => {
  await page.getByLabel('Name').fill(name);
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
};

test.use({ users: [ALICE] });

test('a wrong password shows an error, and the right one signs in', async ({ page }) => {
  await page.goto('/calls');
  await expect(page).toHaveTitle(/CallBurner/);
  await signIn(page, { ...ALICE, password: 'not this one' });
  await expect(
    page.getByRole('alert').filter({ hasText: 'Name or password is wrong.' }),
  ).toBeVisible();
  await expect(page.getByLabel('Name')).toHaveValue(ALICE.name);
  await signIn(page);
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Calls');
});

test('signing out removes all data of the user from the page', async ({ page }) => {
  await page.goto('/settings');
  await signIn(page);
  await expect(page.getByText(`Signed in as ${ALICE.name}`)).toBeVisible();
  await page
    .getByRole('region', { name: 'Account' })
    .getByRole('button', { name: 'Sign out' })
    .click();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Sign in');
  await page.goBack();
  await page.goto('/settings');
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Sign in');
  expect((await page.request.get('/api/calls')).status()).toBe(401);
});

test('a lost session keeps the screen and its input', async ({ page, context }) => {
  await page.goto('/settings');
  await signIn(page);
  const field = page.getByRole('textbox', { name: 'Add a keyword' });
  await field.fill('invoi');
  await context.clearCookies();
  const nav = page.getByRole('region', { name: 'API tokens' });
  await nav.getByRole('button', { name: 'New token' }).click();
  await page.getByLabel('What it is for').fill('backup');
  await page.getByRole('button', { name: 'Create token' }).click();
  const banner = page.getByRole('status').filter({ hasText: 'You are signed out.' });
  await expect(banner).toBeVisible();
  await page.keyboard.press('Escape');
  await banner.getByRole('button', { name: 'Sign in' }).click();
  const dialog = page.getByRole('dialog', { name: 'Sign in again' });
  await expect(dialog.getByLabel('Name')).toHaveValue(ALICE.name);
  await expect(dialog.getByLabel('Password')).toBeFocused();
  await page.keyboard.type(ALICE.password);
  await page.keyboard.press('Enter');
  await expect(dialog).toBeHidden();
  await expect(banner).toBeHidden();
  await expect(field).toHaveValue('invoi');
});

test('signing in, navigation and a setting work with the keyboard alone', async ({ page }) => {
  await page.goto('/');
  await signInByKeyboard(page);
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Phone');

  await page.keyboard.press('Tab');
  await expect(page.getByRole('link', { name: 'Skip to content' })).toBeFocused();
  for (const screen of ['Phone', 'Calls', 'Settings']) {
    await page.keyboard.press('Tab');
    await expect(page.getByRole('link', { name: screen, exact: true })).toBeFocused();
  }
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Settings');
  await expect(page.locator('#screen')).toBeFocused();

  const chosen = page.getByRole('radio', { name: 'System' });
  while (!(await chosen.evaluate((radio) => radio === document.activeElement)))
    await page.keyboard.press('Tab');
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('ArrowRight');
  await expect(page.getByRole('radio', { name: 'Dark' })).toBeChecked();
  await expect(page.locator('html')).toHaveAttribute('data-theme', 'dark');
});

test('too many attempts show how long to wait', async ({ page, request }) => {
  await page.goto('/');
  for (let attempt = 0; attempt < 40; attempt += 1) {
    const data = { name: 'mallory', password: 'guess' };
    const answer = await request.post('/api/session', { data });
    if (answer.status() === 429) break;
  }
  await signIn(page, { name: 'mallory', password: 'another guess' });
  await expect(
    page.getByText(/Too many attempts\. You can try again in \d+ seconds?\./),
  ).toBeVisible();
  await expect(page.getByRole('button', { name: 'Sign in' })).toBeDisabled();
});
