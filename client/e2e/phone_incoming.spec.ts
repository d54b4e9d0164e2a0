/** Calls to us: they ring at every browser that is online, once. */
import type { Page } from '@playwright/test';
import { goOnline, ringing, timer } from './phone_steps';
import { expect, test } from './twilio';

const CALLER = '+442079460958';
const CALLER_WRITTEN = '+44 20 7946 0958';

/** The tab that makes itself heard also says so in its title. */
const isLoud = async (page: Page) => (await page.title()).includes('☎');

test('a call rings on any screen, and is accepted', async ({ page, twilio, farEnd }) => {
  await goOnline(page);
  await page.getByRole('link', { name: 'Settings' }).click();
  const { callSid, legs } = await twilio.call(CALLER);
  const [leg] = legs;
  if (!leg) throw new Error('nobody rang');
  await expect(ringing(page)).toContainText(CALLER_WRITTEN);
  await expect(ringing(page)).toBeFocused();
  await expect.poll(() => isLoud(page)).toBe(true);
  await ringing(page).getByRole('button', { name: 'Accept' }).click();
  await twilio.connect(leg);
  await expect(timer(page)).toBeVisible();
  await expect(page.getByRole('heading', { name: CALLER_WRITTEN })).toBeVisible();
  await expect.poll(() => farEnd.loudness()).toBeGreaterThan(0);
  await expect.poll(() => isLoud(page)).toBe(false);
  // The server knows whose call it is now.
  const adopted = await page.evaluate(
    async (sid) => (await fetch(`/api/calls/${sid}`)).json(),
    callSid,
  );
  expect(adopted).toMatchObject({ sid: callSid, direction: 'incoming', userId: 1 });
  leg.hangUp();
  await expect(page.getByRole('heading', { name: 'They hung up' })).toBeVisible();
});

test('a call is rejected, by keyboard', async ({ page, twilio }) => {
  await goOnline(page);
  const { legs } = await twilio.call(CALLER);
  await expect(ringing(page)).toBeFocused();
  await page.keyboard.press('Tab');
  await page.keyboard.press('Tab');
  await expect(ringing(page).getByRole('button', { name: 'Reject' })).toBeFocused();
  await page.keyboard.press('Enter');
  await legs[0]?.heard('reject');
  await expect(ringing(page)).toBeHidden();
  await expect.poll(() => isLoud(page)).toBe(false);
  // Whoever rejects a call has not missed it. The next one's notice comes after any of this one's.
  const next = await twilio.call('+442079460959');
  await expect(ringing(page)).toBeVisible();
  next.legs[0]?.cancel();
  await expect(page.getByText('Missed call from +44 20 7946 0959.')).toBeVisible();
  await expect(page.getByText(`Missed call from ${CALLER_WRITTEN}.`)).toBeHidden();
});

test('a caller who gives up was missed', async ({ page, twilio }) => {
  await goOnline(page);
  const { legs } = await twilio.call(CALLER);
  await expect(ringing(page)).toBeVisible();
  legs[0]?.cancel();
  await expect(ringing(page)).toBeHidden();
  await expect(page.getByText(`Missed call from ${CALLER_WRITTEN}.`)).toBeVisible();
});

test('a call that somebody else answered was not missed', async ({ page, twilio, signalling }) => {
  await goOnline(page);
  const { callSid, legs } = await twilio.call(CALLER);
  await expect(ringing(page)).toBeVisible();
  await twilio.tell(signalling.newCallSid(), 'in-progress', callSid);
  legs[0]?.cancel();
  await expect(page.getByText('was answered elsewhere.')).toBeVisible();
  await expect(ringing(page)).toBeHidden();
});

test('of two tabs one makes itself heard, and both obey', async ({ page, context, twilio }) => {
  const other = await context.newPage();
  await other.goto('/');
  await goOnline(page);
  await goOnline(other);
  const rung = await twilio.call(CALLER);
  expect(rung.legs).toHaveLength(2);
  await expect(ringing(page)).toBeVisible();
  await expect(ringing(other)).toBeVisible();
  const loud = async () => [await isLoud(page), await isLoud(other)].filter(Boolean).length;
  await expect.poll(loud).toBe(1);
  await ringing(other).getByRole('button', { name: 'Ignore' }).click();
  await expect(ringing(other)).toBeHidden();
  await expect(ringing(page)).toBeHidden();
  await expect.poll(loud).toBe(0);
  // The one that is quiet can answer, and the other one is quiet then.
  const again = await twilio.call(CALLER);
  await expect.poll(loud).toBe(1);
  const quiet = (await isLoud(page)) ? other : page;
  await ringing(quiet).getByRole('button', { name: 'Accept' }).click();
  const identity = await Promise.race(
    again.legs.map(async (leg) => {
      await leg.heard('answer');
      return leg;
    }),
  );
  await twilio.connect(identity);
  await expect(timer(quiet)).toBeVisible();
  await expect(ringing(page)).toBeHidden();
  await expect(ringing(other)).toBeHidden();
  await expect.poll(loud).toBe(0);
  identity.hangUp();
});

test('the tab that makes itself heard is closed: another one goes on', async ({
  page,
  context,
  twilio,
}) => {
  const other = await context.newPage();
  await other.goto('/');
  await goOnline(other);
  await goOnline(page);
  await twilio.call(CALLER);
  await expect
    .poll(async () => [await isLoud(page), await isLoud(other)].filter(Boolean).length)
    .toBe(1);
  const [loud, quiet] = (await isLoud(page)) ? [page, other] : [other, page];
  await loud.close();
  await expect.poll(() => isLoud(quiet)).toBe(true);
});
