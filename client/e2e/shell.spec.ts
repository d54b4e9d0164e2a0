import { expect, test } from './server';

test('an open server shows the phone, and every place', async ({ page }) => {
  await page.goto('/');
  const nav = page.getByRole('navigation', { name: 'Main' });
  for (const place of ['Calls', 'Settings', 'Phone']) {
    await nav.getByRole('link', { name: place }).click();
    await expect(page.getByRole('heading', { level: 1 })).toHaveText(place);
  }
});
