import { ALICE, expect, test } from './server';

// A server of its own, since the test closes it.
test.use({ settings: { ARCHIVE: 'false' } });

test('the first user closes an open server, and is signed in', async ({ page }) => {
  await page.goto('/settings#users');
  await page.getByRole('button', { name: 'Add user' }).click();
  await page.getByLabel('Name').fill('alice');
  await page.getByLabel('Password').fill(ALICE.password);
  await page.getByRole('dialog').getByRole('button', { name: 'Add user' }).click();
  await expect(page.getByText('Signed in as alice')).toBeVisible();
  await expect(page.getByText(/open to everyone/)).toBeHidden();
});
