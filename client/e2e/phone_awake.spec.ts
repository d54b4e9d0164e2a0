/** A phone that is kept open all day: passes expire, lines break, machines sleep. */
import type { Page } from '@playwright/test';
import { expectOnline, goOnline } from './phone_steps';
import { expect, test } from './twilio';

/** The page's clock is the test's. */
async function goOnlineByOurClock(page: Page) {
  await page.clock.install();
  await page.goto('/');
  await goOnline(page);
}

test('the pass is replaced before it expires, again and again', async ({ page, signalling }) => {
  const before = signalling.tokens.length;
  /** Each once, of this page's: the SDK says a token again with every registering. */
  const told = (what: 'token' | 'identity') =>
    new Set(signalling.tokens.slice(before).map((one) => one[what])).size;
  await goOnlineByOurClock(page);
  expect(told('token')).toBe(1);
  await page.clock.fastForward('47:00');
  // Nothing was asked for before four fifths of an hour.
  expect(told('token')).toBe(1);
  for (const count of [2, 3]) {
    await page.clock.fastForward('48:30');
    await expect.poll(() => told('token')).toBe(count);
  }
  // It stays who it is.
  expect(told('identity')).toBe(1);
  await expectOnline(page);
});

test('the line breaks and comes back', async ({ page, signalling }) => {
  await goOnline(page);
  signalling.down();
  await expect(page.getByText('Calls cannot reach you meanwhile')).toBeVisible();
  await expect(page.getByText('Reconnecting…')).toBeVisible();
  signalling.up();
  await signalling.registers(1);
  await expectOnline(page);
  await expect(page.getByText('Calls cannot reach you meanwhile')).toBeHidden();
});

test('a tab that slept for ten minutes can be called again', async ({ page, signalling }) => {
  await goOnlineByOurClock(page);
  const devtools = await page.context().newCDPSession(page);
  await devtools.send('Page.setWebLifecycleState', { state: 'frozen' });
  // Meanwhile Twilio has given it up.
  signalling.down();
  await signalling.registers(0);
  signalling.up();
  await devtools.send('Page.setWebLifecycleState', { state: 'active' });
  await page.clock.fastForward('10:00');
  await signalling.registers(1);
  await expectOnline(page);
});

test('going offline is for good, until one goes online again', async ({
  page,
  twilio,
  signalling,
}) => {
  /** Whether the server has a call ring at this page. */
  const rings = async () => {
    const { callSid, rung, legs } = await twilio.call('+442079460958');
    for (const leg of legs) leg.cancel();
    await twilio.tell(callSid, 'completed');
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
  // So it is for a page that is closed.
  await page.goto('about:blank');
  await expect.poll(rings).toBe(false);
});
