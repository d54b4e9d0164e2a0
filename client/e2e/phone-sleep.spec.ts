/** A phone that stays open: access tokens expire, connections break, machines sleep. */
import type { Page } from '@playwright/test';
import { expectOnline, goOnline } from './phone-steps';
import { expect, test } from './twilio';

/** Lets the test control the clock of the page. */
async function goOnlineByOurClock(page: Page) {
  await page.clock.install();
  await page.goto('/');
  await goOnline(page);
}

test('the access token is replaced before it expires, repeatedly', async ({ page, signalling }) => {
  const before = signalling.tokens.length;
  /** The distinct tokens of this page: the SDK repeats a token with every registration. */
  const told = (what: 'token' | 'identity') =>
    new Set(signalling.tokens.slice(before).map((one) => one[what])).size;
  await goOnlineByOurClock(page);
  expect(told('token')).toBe(1);
  await page.clock.fastForward('47:00');
  // Nothing was requested before four fifths of an hour.
  expect(told('token')).toBe(1);
  for (const count of [2, 3]) {
    await page.clock.fastForward('48:30');
    await expect.poll(() => told('token')).toBe(count);
  }
  // The identity stays the same.
  expect(told('identity')).toBe(1);
  await expectOnline(page);
});

test('the connection to Twilio breaks and comes back', async ({ page, signalling }) => {
  await goOnline(page);
  signalling.down();
  await expect(page.getByText('Calls cannot reach you in the meantime')).toBeVisible();
  await expect(page.getByText('Reconnecting…')).toBeVisible();
  signalling.up();
  await signalling.registers(1);
  await expectOnline(page);
  await expect(page.getByText('Calls cannot reach you in the meantime')).toBeHidden();
});

test('a tab that slept for ten minutes can be called again', async ({ page, signalling }) => {
  await goOnlineByOurClock(page);
  const devtools = await page.context().newCDPSession(page);
  await devtools.send('Page.setWebLifecycleState', { state: 'frozen' });
  // Meanwhile Twilio has dropped its registration.
  signalling.down();
  await signalling.registers(0);
  signalling.up();
  await devtools.send('Page.setWebLifecycleState', { state: 'active' });
  await page.clock.fastForward('10:00');
  await signalling.registers(1);
  await expectOnline(page);
});

test('a phone that went offline stays offline', async ({ page, twilio, signalling }) => {
  /** Whether the server would ring this page. */
  const rings = async () => {
    const { callSid, rung, legs } = await twilio.call('+442079460958');
    for (const leg of legs) leg.cancel();
    await twilio.notifyServer(callSid, 'completed');
    return rung.includes(signalling.tokens.at(-1)?.identity ?? '');
  };
  await goOnline(page);
  await signalling.registers(1);
  expect(await rings()).toBe(true);
  await page.getByRole('button', { name: 'Go offline' }).click();
  await signalling.registers(0);
  await expect(page.getByRole('button', { name: 'Go online' })).toBeVisible();
  await expect.poll(rings).toBe(false);
  await goOnline(page);
  await signalling.registers(1);
  expect(await rings()).toBe(true);
  // The same holds for a closed page.
  await page.goto('about:blank');
  await expect.poll(rings).toBe(false);
});
