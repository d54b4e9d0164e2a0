import type { Page } from '@playwright/test';
import { expect, test } from './twilio';

const NUMBER = '+14155552671';

async function goOnline(page: Page) {
  await page.getByRole('button', { name: 'Go online' }).click();
  await expect(page.getByText('Online', { exact: true })).toBeVisible();
}

async function dial(page: Page, number = NUMBER) {
  await page.getByLabel('Number to call').fill(number);
  await page.getByRole('button', { name: 'Call +' }).click();
}

test('a call is dialled, rings, is answered and ended by us', async ({ page, twilio }) => {
  await goOnline(page);
  await dial(page);
  await expect(page.getByText('Calling…')).toBeVisible();
  const { leg, twiml } = await twilio.dialled();
  expect(twiml).toContain(`${NUMBER}</Number>`);
  leg.ring();
  await expect(page.getByText('Ringing…')).toBeVisible();
});
