/** The number field, and its messages. */
import type { Page } from '@playwright/test';
import { expectOnline, goOnline, THEIR_NUMBER, THEIR_NUMBER_WRITTEN } from './phone-steps';
import { expect, test } from './twilio';

const field = (page: Page) => page.getByLabel('Number to call');

async function paste(page: Page, text: string) {
  await page.evaluate((text) => navigator.clipboard.writeText(text), text);
  await page.keyboard.press('Control+v');
}

test('numbers can be pasted anywhere, in any format', async ({ page }) => {
  await goOnline(page);
  for (const [text, e164] of [
    ['(415) 555-2671', THEIR_NUMBER],
    ['tel:+1-415-555-2671', THEIR_NUMBER],
    ['４１５ ５５５ ２６７１', THEIR_NUMBER],
    ['1-800-FLOWERS', '+18003569377'],
    ['+44\u00a020\u00a07946\u00a00958', '+442079460958'],
  ] as const) {
    await page.getByRole('heading', { name: 'Latest calls' }).click();
    await paste(page, text);
    await expect(page.getByText(`Calls ${e164} in`)).toBeVisible();
  }
  await field(page).fill('');
  await paste(page, 'hello');
  await expect(page.getByRole('button', { name: 'Call', exact: true })).toBeDisabled();
});

test('keypad keys are pressed, held and erased', async ({ page }) => {
  await goOnline(page);
  const zero = page.getByRole('button', { name: '0', exact: true });
  await zero.hover();
  await page.mouse.down();
  await expect(field(page)).toHaveValue('+');
  await page.mouse.up();
  for (const key of ['4, GHI', '4, GHI', '2, ABC', '0'])
    await page.getByRole('button', { name: key, exact: true }).click();
  await expect(field(page)).toHaveValue('+44 20');
  await page.getByRole('button', { name: 'Erase the last digit' }).click();
  await expect(field(page)).toHaveValue('+44 2');
});

test('a number that cannot be called shows the reason', async ({ page }) => {
  await goOnline(page);
  for (const [text, said] of [
    ['911', '911 cannot be called from here'],
    ['+999 123 456', 'No country has this calling code.'],
    ['+1 111 111 1111', 'This is not a valid number in'],
    ['+1 415 555 2671 99999', 'This number is too long.'],
  ] as const) {
    await field(page).fill(text);
    await expect(page.getByText(said)).toBeVisible();
    await expect(page.getByRole('button', { name: 'Call', exact: true })).toBeDisabled();
  }
  await page.getByLabel('Country', { exact: true }).selectOption('FR');
  await field(page).fill('17');
  await expect(page.getByText('17 cannot be called from here')).toBeVisible();
});

test('a link fills the field and places no call', async ({ page, signalling }) => {
  await goOnline(page);
  await page.getByRole('link', { name: 'Settings' }).click();
  await page.evaluate(() => {
    history.pushState(null, '', '/?to=web%2Btel%3A%252B14155552671');
    dispatchEvent(new PopStateEvent('popstate'));
  });
  await expectOnline(page);
  await expect(field(page)).toHaveValue(THEIR_NUMBER_WRITTEN);
  await expect(page).toHaveURL('/');
  await page.goto('/?to=+14155552671');
  await goOnline(page);
  await expect(field(page)).toHaveValue(THEIR_NUMBER_WRITTEN);
  // A call would start with a message to Twilio.
  await expect(page.getByRole('button', { name: 'Hang up' })).toBeHidden();
  expect(signalling.isQuiet).toBe(true);
});

test('devices are chosen, tested and remembered', async ({ page }) => {
  await page.getByRole('button', { name: 'Microphone and sound' }).click();
  const dialog = page.getByRole('dialog', { name: 'Microphone and sound' });
  const level = dialog.getByRole('meter', { name: 'Microphone level' });
  // The fake microphone of this browser beeps.
  await expect
    .poll(async () => Number(await level.getAttribute('aria-valuenow')))
    .toBeGreaterThan(0.1);
  const microphone = dialog.getByLabel('Microphone', { exact: true });
  await expect(microphone.getByRole('option')).not.toHaveCount(1);
  await microphone.selectOption({ index: 1 });
  const chosen = await microphone.inputValue();
  expect(chosen).not.toBe('');
  await dialog.getByRole('button', { name: 'Play a test tone' }).click();
  await page.reload();
  await page.getByRole('button', { name: 'Microphone and sound' }).click();
  await expect(microphone).toHaveValue(chosen);
});

test('without a microphone the page says why, and what to do', async ({ page }) => {
  // The fake microphone is always allowed, so the permission is revoked in the browser.
  await page.addInitScript(() => {
    navigator.mediaDevices.getUserMedia = () =>
      Promise.reject(new DOMException('denied', 'NotAllowedError'));
  });
  await page.goto('/');
  await page.getByRole('button', { name: 'Go online' }).click();
  const alert = page.getByRole('alert');
  await expect(alert).toContainText('This page is not allowed to use the microphone.');
  await expect(alert).toContainText('Allow it in the browser');
  await expect(page.getByRole('button', { name: 'Go online' })).toBeEnabled();
});
