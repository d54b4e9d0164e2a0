import { dial, goOnline, ringing, timer } from '../phone-steps';
import { expect, test } from '../twilio';
import { SIZES, shoot } from './shoot';

for (const [size, viewport] of Object.entries(SIZES))
  test(`the phone on a ${size}`, async ({ page, twilio }) => {
    await page.setViewportSize(viewport);
    await shoot(page, `gate-${size}`);
    await goOnline(page);
    await page.getByLabel('Number to call').fill('+1 415 555 2671');
    await expect(page.getByText('Calls +14155552671')).toBeVisible();
    await shoot(page, `dialler-${size}`);
    const { legs } = await twilio.call('+442079460958');
    await expect(ringing(page)).toBeVisible();
    await shoot(page, `ringing-${size}`);
    await ringing(page).getByRole('button', { name: 'Reject' }).click();
    await legs[0]?.heard('reject');
    await dial(page);
    const leg = await twilio.answered();
    await expect(timer(page)).toBeVisible();
    await page.keyboard.press('m');
    await page.keyboard.press('k');
    await expect(page.getByText('You are talking, but you are muted.')).toBeVisible();
    await shoot(page, `talking-${size}`);
    await page.getByRole('link', { name: 'Calls', exact: true }).click();
    await expect(page.getByRole('heading', { name: 'Calls', level: 1 })).toBeVisible();
    await shoot(page, `call-bar-${size}`);
    await page.getByRole('link', { name: 'Phone', exact: true }).click();
    await twilio.hangUp(leg);
    await expect(page.getByRole('heading', { name: 'They hung up' })).toBeVisible();
    await shoot(page, `ended-${size}`);
  });
