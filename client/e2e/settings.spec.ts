import { expect, test } from './server';

test.use({ colorScheme: 'light' });

test('a dark page is dark from its first paint', async ({ page }) => {
  await page.goto('/settings');
  await page.getByText('Dark', { exact: true }).click();
  await expect(page.locator('html')).toHaveAttribute('data-theme', 'dark');
  // Only the head has run when the body starts, so the first paint is dark.
  await page.route(/\/assets\/index-.*\.js$/, (route) => route.abort());
  await page.reload({ waitUntil: 'domcontentloaded' });
  await expect
    .poll(() => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor))
    .toBe('rgb(17, 19, 21)');
  await expect(page.locator('#root')).toBeEmpty();
});

test('keywords and the text size are remembered', async ({ page }) => {
  await page.goto('/settings');
  const field = page.getByRole('textbox', { name: 'Add a keyword' });
  for (const keyword of ['invoice', 'call me back']) {
    await field.fill(keyword);
    await field.press('Enter');
  }
  await field.fill('Invoice');
  await field.press('Enter');
  await expect(page.getByText('This keyword is already in the list.')).toBeVisible();
  await page.getByText('Larger', { exact: true }).click();
  await page.reload();
  await expect(page.getByRole('button', { name: 'Remove call me back' })).toBeVisible();
  await expect(page.getByText('This is how a transcript looks.')).toHaveCSS('font-size', '22px');
  await page.getByRole('button', { name: 'Remove invoice' }).click();
  await expect(page.getByText('invoice', { exact: true })).toBeHidden();
});

test('debug info describes the page, and names nobody', async ({ page }) => {
  await page.goto('/settings');
  await page.getByRole('button', { name: 'Copy debug info' }).click();
  const info = await page.evaluate(() => navigator.clipboard.readText());
  expect(info).toContain('session: open');
  expect(info).toContain('Chrome/');
});
