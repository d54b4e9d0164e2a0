import { checkPage } from './axe';
import { ALICE, expect, test } from './server';
import { codeOf } from './totp';

test.use({ users: [ALICE], settings: { REQUIRE_SECOND_FACTOR: 'all' } });

test('a server that requires a second factor shows its setup first', async ({ page }) => {
  await page.goto('/calls');
  await page.getByLabel('Name').fill(ALICE.name);
  await page.getByLabel('Password').fill(ALICE.password);
  await page.getByRole('button', { name: 'Sign in', exact: true }).click();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Set up a second factor');
  await checkPage(page);
  expect((await page.request.get('/api/calls')).status()).toBe(403);
  await page.getByRole('button', { name: 'Set up an app' }).click();
  const setup = page.getByRole('dialog', { name: 'Set up an app' });
  const key = await setup.getByRole('textbox', { name: 'Key', exact: true }).inputValue();
  await setup.getByLabel('Code from the app').fill(codeOf(key));
  await page.keyboard.press('Enter');
  // The recovery codes are shown before the page continues.
  await page.getByRole('button', { name: 'I have saved them' }).click();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Calls');
});
