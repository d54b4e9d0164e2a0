/** Keyboard-only use. `phone.spec.ts` and `history.spec.ts` have further keyboard tests. */
import { press, signInByKeyboard, tabTo } from './keys';
import { expectOnline, recordingIs, ringing, timer } from './phone-steps';
import { expect, test } from './twilio';

test('sign in, answer a call, record it, take notes, and sign out', async ({
  page,
  twilio,
  recordings,
  signalling,
}) => {
  await page.context().clearCookies();
  await page.goto('/');
  await signInByKeyboard(page);
  await press(page, page.getByRole('button', { name: 'Go online' }));
  await expectOnline(page);

  const { callSid, legs } = await twilio.call('+442079460958');
  await expect(ringing(page)).toBeFocused();
  await tabTo(page, ringing(page).getByRole('button', { name: 'Accept' }));
  await page.keyboard.press('Space');
  if (!legs[0]) throw new Error('nobody rang');
  await twilio.connect(legs[0]);
  await twilio.notifyServer(signalling.newCallSid(), 'in-progress', callSid);
  await expect(timer(page)).toBeVisible();

  const recording = page.getByRole('group', { name: 'Recording' });
  await expect(recording.getByRole('button', { name: 'Record' })).toBeVisible();
  await page.keyboard.press('r');
  await recordingIs(page, 'Recording');
  await press(page, recording.getByRole('button', { name: 'Stop' }));
  await recordingIs(page, 'Recording stopped');
  expect(recordings.asked).toEqual(['start', 'stopped']);

  const notes = page.getByRole('textbox', { name: 'Notes' });
  await tabTo(page, notes);
  // The shortcuts of the call have no effect in a text field.
  await page.keyboard.type('marks 1 mark');
  await page.keyboard.press('Escape');
  await expect(page.getByText('Saved', { exact: true })).toBeVisible();
  await expect(page.getByRole('button', { name: 'Mute', exact: true })).toBeVisible();
  await press(page, page.getByRole('button', { name: 'Hang up' }));
  await legs[0].heard('hangup');
  await press(page, page.getByRole('button', { name: 'Open the call' }));
  await expect(notes).toHaveValue('marks 1 mark');

  await page.keyboard.press('g');
  await page.keyboard.press('s');
  await tabTo(page, page.getByRole('radio', { name: 'System' }));
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('ArrowRight');
  await expect(page.locator('html')).toHaveAttribute('data-theme', 'dark');
  await tabTo(page, page.getByRole('textbox', { name: 'Add a keyword' }));
  await page.keyboard.type('invoice');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('button', { name: /invoice/ })).toBeVisible();
  await press(
    page,
    page.getByRole('region', { name: 'Account' }).getByRole('button', { name: 'Sign out' }),
  );
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Sign in');
});
