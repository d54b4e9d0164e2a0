/** On one's own machine, before there is an account. */
import { expect, test } from './server';

test('the gate names the settings that are missing', async ({ page }) => {
  await page.goto('/');
  await page.getByRole('button', { name: 'Go online' }).click();
  await expect(page.getByRole('alert')).toContainText('TWILIO_API_KEY');
});

test('a recorded call can be watched, without a way to hang it up', async ({ page }) => {
  await page.goto('/');
  await page.getByRole('button', { name: 'Watch a recorded call' }).click();
  await expect(page.getByRole('region', { name: 'Call controls' })).toBeHidden();
  await expect(page.getByText('In progress').or(page.getByText('In call')).first()).toBeVisible();
  await page.getByRole('button', { name: 'Back to the phone' }).click();
  await expect(page.getByRole('button', { name: 'Go online' })).toBeVisible();
});
