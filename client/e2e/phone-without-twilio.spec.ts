/** A local server without an account. */
import { expect, test } from './server';

test('the phone offers the recorded call, which cannot be hung up', async ({ page }) => {
  await page.goto('/');
  await expect(page.getByRole('button', { name: 'Go online' })).toBeHidden();
  await page.getByRole('button', { name: 'Play the recorded call' }).click();
  await expect(page.getByRole('status').filter({ hasText: 'In progress' })).toBeVisible();
  await expect(page.getByRole('region', { name: 'Call controls' })).toBeHidden();
  await page.getByRole('button', { name: 'Back to the phone' }).click();
  // Only one plays at a time: the button opens it again.
  await page.getByRole('button', { name: 'Play the recorded call' }).click();
  await expect(page.getByRole('status').filter({ hasText: 'In progress' })).toBeVisible();
});
