/** Playback of a recording at Twilio. */
import { dial, goOnline, recordingIs, timer } from './phone-steps';
import { expect, test } from './twilio';

test('Twilio’s recording plays and seeks', async ({ page, twilio, recordings }) => {
  await goOnline(page);
  await dial(page);
  const leg = await twilio.answered();
  await expect(timer(page)).toBeVisible();
  await page.getByRole('group', { name: 'Recording' }).getByRole('button').click();
  await recordingIs(page, 'Recording');
  await twilio.hangUp(leg);
  await page.getByRole('button', { name: 'Open the call' }).click();
  // The recording appears once Twilio has processed it.
  await expect(page.getByRole('heading', { level: 1 })).toBeVisible();
  await twilio.recorded(leg.callSid);
  const player = page.getByRole('region', { name: 'Player' });
  await expect(player).toContainText('Twilio’s recording is known to the second only');
  const position = () =>
    page
      .locator('audio')
      .evaluate((audio) => (audio instanceof HTMLAudioElement ? audio.currentTime : NaN));
  await player.getByRole('button', { name: 'Play', exact: true }).click();
  await expect.poll(position).toBeGreaterThan(0.3);
  await page.keyboard.press('k');
  const { length } = recordings.ranges;
  expect(length).toBeGreaterThan(0);
  const slider = player.getByRole('slider', { name: 'Position in the call' });
  await slider.focus();
  await page.keyboard.press('End');
  await expect.poll(position).toBeGreaterThan(2);
  await page.keyboard.press('Home');
  await expect.poll(position).toBe(0);
});
