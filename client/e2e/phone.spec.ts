/** Outgoing calls, with the real Voice SDK, the real server and a fake Twilio. */
import { press } from './keys';
import {
  dial,
  expectOnline,
  goOnline,
  recordingIs,
  THEIR_NUMBER,
  THEIR_NUMBER_WRITTEN,
  timer,
} from './phone-steps';
import { expect, test } from './twilio';

test('a call is dialled, rings, is answered and hung up', async ({ page, twilio, farEnd }) => {
  await goOnline(page);
  await dial(page);
  await expect(page.getByRole('heading', { name: THEIR_NUMBER_WRITTEN })).toBeVisible();
  await expect(page.getByText('Calling…')).toBeVisible();
  const { leg, twiml } = await twilio.dialled();
  expect(twiml).toContain(`${THEIR_NUMBER}</Number>`);
  leg.ring();
  await expect(page.getByText('Ringing…')).toBeVisible();
  leg.answer(await farEnd.answer(leg.sdp));
  await expect(timer(page)).toHaveText(/^0:0[2-9]$/);
  await expect.poll(() => farEnd.loudness()).toBeGreaterThan(0);
  await page.getByRole('button', { name: 'Hang up' }).click();
  await leg.heard('hangup');
  await expect(page.getByRole('heading', { name: 'You hung up' })).toBeFocused();
  await expect(page.getByText('You talked for 0:0')).toBeVisible();
});

test('while muted, the other party hears nothing', async ({ page, twilio, farEnd }) => {
  await goOnline(page);
  await dial(page);
  const leg = await twilio.answered();
  await expect.poll(() => farEnd.loudness()).toBeGreaterThan(0);
  await page.getByRole('button', { name: 'Mute', exact: true }).click();
  // The fake microphone of this browser beeps continuously.
  await expect(page.getByText('You are talking, but you are muted.')).toBeVisible();
  await expect.poll(() => farEnd.loudness()).toBe(0);
  await page.getByRole('button', { name: 'Unmute' }).click();
  await expect.poll(() => farEnd.loudness()).toBeGreaterThan(0);
  await expect(page.getByText('you are muted')).toBeHidden();
  leg.hangUp();
});

test('digits reach the other party, and are shown', async ({ page, twilio }) => {
  await goOnline(page);
  await dial(page);
  const leg = await twilio.answered();
  await expect(timer(page)).toBeVisible();
  await page.getByRole('button', { name: 'Keypad' }).click();
  await page.getByRole('button', { name: '4, GHI' }).click();
  await page.getByRole('button', { name: 'hash' }).click();
  await page.keyboard.press('2');
  await page.keyboard.press(',');
  await page.keyboard.press('*');
  await expect(page.getByText('4#2,*')).toBeVisible();
  await expect.poll(() => leg.digits).toBe('4#2w*');
  leg.hangUp();
});

test('a recording is started, paused and stopped', async ({ page, twilio, recordings }) => {
  await goOnline(page);
  await dial(page);
  const leg = await twilio.answered();
  const recording = page.getByRole('group', { name: 'Recording' });
  await recording.getByRole('button', { name: 'Record' }).click();
  // The page shows what the server reports, and assumes nothing.
  await recordingIs(page, 'Recording');
  await page.keyboard.press('r');
  await recordingIs(page, 'Recording paused');
  await page.keyboard.press('r');
  await expect(recording.getByRole('button', { name: 'Pause' })).toBeVisible();
  await recordingIs(page, 'Recording');
  await recording.getByRole('button', { name: 'Stop' }).click();
  await recordingIs(page, 'Recording stopped');
  expect(recordings.asked).toEqual(['start', 'paused', 'in-progress', 'stopped']);
  await twilio.hangUp(leg);
});

test('after the other party hangs up, the call is listed and can be repeated', async ({
  page,
  twilio,
}) => {
  await goOnline(page);
  await dial(page);
  const leg = await twilio.answered();
  await expect(timer(page)).toHaveText(/^0:0[1-9]$/);
  await twilio.hangUp(leg);
  await expect(page.getByRole('heading', { name: 'They hung up' })).toBeVisible();
  await expect(
    page.getByRole('link', { name: `Open the call with ${THEIR_NUMBER_WRITTEN}` }).first(),
  ).toBeVisible();
  await page.getByRole('button', { name: 'Call again' }).click();
  const again = await twilio.dialled();
  expect(again.leg.params.get('To')).toBe(THEIR_NUMBER);
  again.leg.ring();
  again.leg.hangUp();
  await page.getByRole('button', { name: 'Open the call' }).click();
  await expect(page).toHaveURL(`/calls/${again.leg.callSid}`);
});

test('a failed call shows the reason', async ({ page, twilio, farEnd }) => {
  await goOnline(page);
  await dial(page);
  const { leg } = await twilio.dialled();
  leg.ring();
  leg.hangUp({ code: 31486, message: 'Busy Here' });
  await expect(page.getByRole('heading', { name: 'The line is busy' })).toBeVisible();
  await expect(page.getByText('31486')).toBeVisible();
  // The server refuses this one: Twilio answers the call and announces the reason.
  await page.getByRole('button', { name: 'Done' }).click();
  await dial(page, '+442079460958');
  const refused = await twilio.dialled();
  expect(refused.twiml).toContain('<Hangup/>');
  refused.leg.answer(await farEnd.answer(refused.leg.sdp));
  await expect(timer(page)).toBeVisible();
  await twilio.hangUp(refused.leg);
  await expect(
    page.getByRole('heading', { name: 'Calls to this country are not allowed' }),
  ).toBeVisible();
});

test('silence on the line is reported while it lasts', async ({ page, twilio, farEnd }) => {
  await goOnline(page);
  await dial(page);
  const leg = await twilio.answered();
  await expect(page.getByText('Good connection')).toBeAttached();
  // No packets arrive at all. The SDK warns after three seconds, from the fifth second of a call
  // on.
  await farEnd.send(false);
  await expect(page.getByText('No sound arrives from the other party.')).toBeVisible();
  await expect(page.getByText('Poor connection')).toBeVisible();
  await farEnd.send(true);
  await expect(page.getByText('No sound arrives from the other party.')).toBeHidden();
  await expect(page.getByText('Good connection')).toBeAttached();
  leg.hangUp();
});

test('the connection to Twilio breaks during a call, and both come back', async ({
  page,
  twilio,
  signalling,
}) => {
  await goOnline(page);
  await dial(page);
  const leg = await twilio.answered();
  await expect(timer(page)).toBeVisible();
  signalling.down();
  await expect(page.getByText('Reconnecting the sound…')).toBeVisible();
  await expect(page.getByText('Calls cannot reach you in the meantime')).toBeVisible();
  signalling.up();
  await leg.heard('rejoined');
  await expect(page.getByText('Reconnecting the sound…')).toBeHidden();
  await expect(page.getByText('Calls cannot reach you in the meantime')).toBeHidden();
  await expect(timer(page)).toBeVisible();
  await page.getByRole('button', { name: 'Hang up' }).click();
  await leg.heard('hangup');
  await page.getByRole('button', { name: 'Done' }).click();
  await expectOnline(page);
});

test('a call continues on other screens', async ({ page, twilio }) => {
  await goOnline(page);
  await dial(page);
  const leg = await twilio.answered();
  await page.getByRole('link', { name: 'Calls', exact: true }).click();
  const bar = page.getByRole('region', { name: 'Your call' });
  await expect(bar.getByRole('timer')).toBeVisible();
  await bar.getByRole('button', { name: 'Mute', exact: true }).click();
  await expect(bar.getByRole('button', { name: 'Unmute' })).toBeVisible();
  await bar.getByRole('link').click();
  await expect(page.getByRole('button', { name: 'Unmute' })).toBeVisible();
  await page.getByRole('link', { name: 'Settings' }).click();
  await bar.getByRole('button', { name: 'Hang up' }).click();
  await leg.heard('hangup');
  await expect(bar).toBeHidden();
});

test('a whole call works with the keyboard alone', async ({ page, twilio, farEnd }) => {
  await press(page, page.getByRole('button', { name: 'Go online' }));
  await expectOnline(page);
  // Digits go to the number field even without the focus.
  await page.keyboard.type('4155552671');
  await expect(page.getByText(`Calls ${THEIR_NUMBER} in United States`)).toBeVisible();
  await page.keyboard.press('Escape');
  await expect(page.getByLabel('Number to call')).toHaveValue('');
  await page.keyboard.type('415555267');
  await page.keyboard.press('Backspace');
  await page.keyboard.type('71');
  await expect(page.getByText(`Calls ${THEIR_NUMBER} in`)).toBeVisible();
  await page.keyboard.press('Enter');
  const leg = await twilio.answered();
  await expect(timer(page)).toBeVisible();
  await page.keyboard.press('m');
  await expect.poll(() => farEnd.loudness()).toBe(0);
  await page.keyboard.press('m');
  await expect.poll(() => farEnd.loudness()).toBeGreaterThan(0);
  await page.keyboard.press('k');
  await expect(page.getByRole('button', { name: 'hash' })).toBeVisible();
  await page.keyboard.type('12#');
  await expect.poll(() => leg.digits).toBe('12#');
  await page.keyboard.press('Escape');
  const question = page.getByRole('dialog', { name: 'Hang up?' });
  await expect(question).toBeVisible();
  await page.keyboard.press('Escape');
  await expect(question).toBeHidden();
  await expect(timer(page)).toBeVisible();
  await page.keyboard.press('Escape');
  await expect(question).toBeVisible();
  await press(page, question.getByRole('button', { name: 'Hang up' }));
  await leg.heard('hangup');
  await expect(page.getByRole('heading', { name: 'You hung up' })).toBeFocused();
});
