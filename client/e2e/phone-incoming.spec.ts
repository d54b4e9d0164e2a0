/** Incoming calls, which ring once in every online browser. */
import type { Page } from '@playwright/test';
import { openFarEnd } from './far-end';
import { dial, expectOnline, goOnline, ringing, timer } from './phone-steps';
import { expect, test } from './twilio';

const CALLER = '+442079460958';
const CALLER_WRITTEN = '+44 20 7946 0958';

/** The ringing tab also flashes its title. */
const isLoud = async (page: Page) => (await page.title()).includes('☎');

test('a call rings on any screen, and can be accepted', async ({ page, twilio, farEnd }) => {
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
  // The server now knows which user has the call.
  const adopted = await page.evaluate(
    async (sid) => (await fetch(`/api/calls/${sid}`)).json(),
    callSid,
  );
  expect(adopted).toMatchObject({ sid: callSid, direction: 'incoming', userId: 1 });
  leg.hangUp();
  await expect(page.getByRole('heading', { name: 'They hung up' })).toBeVisible();
});

test('a call is rejected with the keyboard', async ({ page, twilio }) => {
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
  // A rejected call is not missed: the notice of the next one would come after its own.
  const next = await twilio.call('+442079460959');
  await expect(ringing(page)).toBeVisible();
  await twilio.giveUp(next);
  await expect(page.getByText('Missed call from +44 20 7946 0959.')).toBeVisible();
  await expect(page.getByText(`Missed call from ${CALLER_WRITTEN}.`)).toBeHidden();
});

test('a call is missed when the caller gives up', async ({ page, twilio }) => {
  await goOnline(page);
  const call = await twilio.call(CALLER);
  await expect(ringing(page)).toBeVisible();
  await twilio.giveUp(call);
  await expect(ringing(page)).toBeHidden();
  await expect(page.getByText(`Missed call from ${CALLER_WRITTEN}.`)).toBeVisible();
});

test('a call answered elsewhere is not missed, even if the server learns of it later', async ({
  page,
  twilio,
  signalling,
}) => {
  await goOnline(page);
  const { callSid, legs } = await twilio.call(CALLER);
  await expect(ringing(page)).toBeVisible();
  const asked = page.waitForResponse((response) => response.url().includes('/api/rung/'));
  legs[0]?.cancel();
  expect(await (await asked).json()).toEqual({ outcome: 'ringing' });
  await twilio.notifyServer(signalling.newCallSid(), 'in-progress', callSid);
  await expect(page.getByText('was answered elsewhere.')).toBeVisible();
  await expect(page.getByText(`Missed call from ${CALLER_WRITTEN}.`)).toBeHidden();
});

test('a second call is shown and can be declined while the first one continues', async ({
  page,
  browser,
  server,
  twilio,
  farEnd,
}) => {
  const second = await openFarEnd(browser, server.url);
  const waiting = (party: string) =>
    page.getByRole('status').filter({ hasText: `Another call is waiting: ${party}.` });
  await goOnline(page);
  await dial(page);
  const first = await twilio.answered();
  await expect(timer(page)).toBeVisible();

  const declined = await twilio.call(CALLER, second);
  await expect(waiting(CALLER_WRITTEN)).toBeVisible();
  await expect(ringing(page)).toBeHidden();
  expect(await isLoud(page)).toBe(false);
  await waiting(CALLER_WRITTEN).getByRole('button', { name: 'Decline' }).click();
  await declined.legs[0]?.heard('reject');
  await expect(waiting(CALLER_WRITTEN)).toBeHidden();

  // A waiting caller who gives up is missed.
  const gone = await twilio.call('+442079460959', second);
  await expect(waiting('+44 20 7946 0959')).toBeVisible();
  await twilio.giveUp(gone);
  await expect(waiting('+44 20 7946 0959')).toBeHidden();
  await expect(page.getByText('Missed call from +44 20 7946 0959.')).toBeVisible();
  const before = await timer(page).textContent();
  await expect(timer(page)).not.toHaveText(before ?? '');
  expect(await farEnd.loudness()).toBeGreaterThan(0);

  // A call that still waits when the first one ends rings, and can be answered.
  const kept = await twilio.call(CALLER, second);
  await expect(waiting(CALLER_WRITTEN)).toBeVisible();
  await twilio.hangUp(first);
  await expect(ringing(page)).toContainText(CALLER_WRITTEN);
  await expect.poll(() => isLoud(page)).toBe(true);
  await ringing(page).getByRole('button', { name: 'Accept' }).click();
  const [leg] = kept.legs;
  if (!leg) throw new Error('nobody rang');
  await twilio.connect(leg, second);
  await expect(timer(page)).toBeVisible();
  await expect.poll(() => second.loudness()).toBeGreaterThan(0);
  await twilio.hangUp(leg);
  await second.close();
});

test('of two ringing calls, one is accepted and the other one waits', async ({
  page,
  browser,
  server,
  twilio,
}) => {
  const second = await openFarEnd(browser, server.url);
  await goOnline(page);
  const { legs } = await twilio.call(CALLER);
  const other = await twilio.call('+442079460959', second);
  await expect(ringing(page)).toContainText('One more call is waiting.');
  await ringing(page).getByRole('button', { name: 'Accept' }).click();
  const [leg] = legs;
  if (!leg) throw new Error('nobody rang');
  await twilio.connect(leg);
  await expect(timer(page)).toBeVisible();
  await expect(page.getByText('Another call is waiting: +44 20 7946 0959.')).toBeVisible();
  await twilio.giveUp(other);
  await expect(page.getByText('Missed call from +44 20 7946 0959.')).toBeVisible();
  leg.hangUp();
  await second.close();
});

test('an online browser rings again right after a restart of the server', async ({
  page,
  server,
  twilio,
  signalling,
}) => {
  await goOnline(page);
  const identity = signalling.tokens.at(-1)?.identity ?? '';
  await server.restart();
  const first = await twilio.call(CALLER);
  expect(first.rung).toContain(identity);
  await expect(ringing(page)).toContainText(CALLER_WRITTEN);
  await twilio.giveUp(first);
  await expect(ringing(page)).toBeHidden();
  await expectOnline(page);
});

/** A duplicated tab: the browser copies the session storage of the first one. */
async function duplicate(page: Page): Promise<Page> {
  const kept = await page.evaluate(() => ({ ...sessionStorage }));
  const other = await page.context().newPage();
  await other.addInitScript((kept) => {
    for (const [name, value] of Object.entries(kept)) sessionStorage.setItem(name, value);
  }, kept);
  await other.goto('/');
  return other;
}

for (const hasLocks of [true, false])
  test(`a duplicated tab rings on when the first one goes offline${hasLocks ? '' : ', also under one name'}`, async ({
    page,
    twilio,
    signalling,
  }) => {
    if (!hasLocks) {
      // Without the Web Locks API no tab can know that another one has its name.
      await page
        .context()
        .addInitScript(() => Object.defineProperty(navigator, 'locks', { value: undefined }));
      await page.goto('/');
    }
    await goOnline(page);
    const first = signalling.tokens.at(-1)?.identity ?? '';
    const other = await duplicate(page);
    await goOnline(other);
    const second = signalling.tokens.at(-1)?.identity ?? '';
    expect(second !== first).toBe(hasLocks);
    await page.getByRole('button', { name: 'Go offline' }).click();
    await signalling.registers(1);
    /** Which of the two tabs a call rings. */
    const rung = async () => {
      const call = await twilio.call(CALLER);
      await twilio.giveUp(call);
      return [...new Set([first, second])].filter((identity) => call.rung.includes(identity));
    };
    await expect.poll(rung).toEqual([second]);
    await other.goto('about:blank');
    await expect.poll(rung).toEqual([]);
  });

test('a call answered elsewhere is not missed', async ({ page, twilio, signalling }) => {
  await goOnline(page);
  const { callSid, legs } = await twilio.call(CALLER);
  await expect(ringing(page)).toBeVisible();
  await twilio.notifyServer(signalling.newCallSid(), 'in-progress', callSid);
  legs[0]?.cancel();
  await expect(page.getByText('was answered elsewhere.')).toBeVisible();
  await expect(ringing(page)).toBeHidden();
});

test('of two tabs one plays the ringtone, and either can answer', async ({
  page,
  context,
  twilio,
}) => {
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
  // The silent tab can answer, which silences the other one.
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

test('when the ringing tab closes, another one rings', async ({ page, context, twilio }) => {
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
