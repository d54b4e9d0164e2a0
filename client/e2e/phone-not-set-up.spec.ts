/** A server without an account and without the recorded call. */
import { expect, test } from './server';

test.use({ settings: { SIMULATE_TRANSCRIPTION: 'false' } });

test('the page names the missing settings', async ({ page }) => {
  await page.goto('/');
  await page.getByRole('button', { name: 'Go online' }).click();
  await expect(page.getByRole('alert')).toContainText('TWILIO_API_KEY');
});
