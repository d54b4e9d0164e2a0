/** A server that has no account, and plays no recorded call either. */
import { expect, test } from './server';

test.use({ settings: { SIMULATE_TRANSCRIPTION: 'false' } });

test('the gate names the settings that are missing', async ({ page }) => {
  await page.goto('/');
  await page.getByRole('button', { name: 'Go online' }).click();
  await expect(page.getByRole('alert')).toContainText('TWILIO_API_KEY');
});
