/** On one's own machine, before there is an account. */
import { expect, test } from './server';

test('the phone leads with the recorded call, which has no way to hang it up', async ({ page }) => {
  await page.goto('/');
  await expect(page.getByRole('button', { name: 'Go online' })).toBeHidden();
  await page.getByRole('button', { name: 'Play the recorded call' }).click();
  await expect(page.getByRole('status').filter({ hasText: 'In progress' })).toBeVisible();
  await expect(page.getByRole('region', { name: 'Call controls' })).toBeHidden();
  await page.getByRole('button', { name: 'Back to the phone' }).click();
  // One at a time: the button leads to the one that plays.
  await page.getByRole('button', { name: 'Play the recorded call' }).click();
  await expect(page.getByRole('status').filter({ hasText: 'In progress' })).toBeVisible();
});
