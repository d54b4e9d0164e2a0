/** The session ends during a call, by another tab or by an admin. */
import { dial, expectOnline, goOnline, timer } from './phone-steps';
import { ALICE } from './server';
import { enter, expect, openSession, test } from './twilio';

test('the call continues, and the user can sign in again', async ({
  page,
  server,
  twilio,
  farEnd,
  signalling,
}) => {
  // A session of its own, since other tests use theirs.
  const session = await openSession(server);
  await enter(page, server, session);
  await goOnline(page);
  const identity = signalling.tokens.at(-1)?.identity ?? '';
  await dial(page);
  const leg = await twilio.answered();
  await expect(timer(page)).toBeVisible();
  const headers = { cookie: `${session.name}=${session.value}`, origin: server.url };
  const ended = await fetch(`${server.url}/api/session`, { method: 'DELETE', headers });
  expect(ended.status).toBe(204);

  const lost = page.getByRole('status').filter({ hasText: 'This page stays as it is' });
  await expect(lost).toBeVisible();
  await expect(page.getByText('You are signed out, so the transcript has stopped.')).toBeVisible();
  const before = await timer(page).textContent();
  await expect(timer(page)).not.toHaveText(before ?? '');
  expect(await farEnd.loudness()).toBeGreaterThan(0);
  await page.getByRole('button', { name: 'Mute', exact: true }).click();
  await expect.poll(() => farEnd.loudness()).toBe(0);

  await lost.getByRole('button', { name: 'Sign in' }).click();
  const dialog = page.getByRole('dialog');
  await expect(dialog.getByLabel('Name')).toHaveValue(ALICE.name);
  await dialog.getByLabel('Password').fill(ALICE.password);
  await page.keyboard.press('Enter');
  await expect(lost).toBeHidden();
  await expect(page.getByText('You are signed out, so the transcript has stopped.')).toBeHidden();
  await expect(page.getByRole('button', { name: 'Unmute' })).toBeVisible();
  await page.getByRole('button', { name: 'Hang up' }).click();
  await leg.heard('hangup');
  await page.getByRole('button', { name: 'Done' }).click();
  await expectOnline(page);
  // The identity ended with its session: calls ring here again under a new one.
  const rung = async () => {
    const call = await twilio.call('+442079460958');
    await twilio.giveUp(call);
    return call.rung;
  };
  await expect.poll(() => signalling.tokens.at(-1)?.identity).not.toBe(identity);
  const next = signalling.tokens.at(-1)?.identity ?? '';
  await expect.poll(rung).toContain(next);
  expect(await rung()).not.toContain(identity);
});
