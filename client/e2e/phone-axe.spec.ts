/** The accessibility of the phone states that need Twilio. */
import AxeBuilder from '@axe-core/playwright';
import type { Page } from '@playwright/test';
import { dial, goOnline, ringing, timer } from './phone-steps';
import { expect, test } from './twilio';

async function expectOpenToAll(page: Page) {
  const { violations } = await new AxeBuilder({ page }).analyze();
  const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html)}`);
  expect(found).toEqual([]);
}

for (const colorScheme of ['light', 'dark'] as const)
  test(`from the keys to the end of a call, ${colorScheme}`, async ({ page, twilio }) => {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    await goOnline(page);
    await page.getByLabel('Number to call').fill('911');
    await expect(page.getByText('911 cannot be called from here')).toBeVisible();
    await expectOpenToAll(page);
    const { legs } = await twilio.call('+442079460958');
    await expect(ringing(page)).toBeVisible();
    await expectOpenToAll(page);
    await ringing(page).getByRole('button', { name: 'Reject' }).click();
    await legs[0]?.heard('reject');
    await dial(page);
    const leg = await twilio.answered();
    await expect(timer(page)).toBeVisible();
    await page.keyboard.press('k');
    await page.keyboard.press('m');
    await expect(page.getByText('You are talking, but you are muted.')).toBeVisible();
    await expectOpenToAll(page);
    await page.getByRole('link', { name: 'Calls', exact: true }).click();
    await expect(page.getByRole('region', { name: 'Your call' })).toBeVisible();
    await expect(page.getByRole('heading', { name: 'Calls', level: 1 })).toBeVisible();
    await expectOpenToAll(page);
    await page.getByRole('link', { name: 'Phone', exact: true }).click();
    await twilio.hangUp(leg);
    await expect(page.getByRole('heading', { name: 'They hung up' })).toBeVisible();
    await expectOpenToAll(page);
  });
