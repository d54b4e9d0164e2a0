/** The steps of a user at the phone. */
import { expect, type Page } from '@playwright/test';

/** A number that the server allows. */
export const THEIR_NUMBER = '+14155552671';
export const THEIR_NUMBER_WRITTEN = '+1 415 555 2671';

export async function goOnline(page: Page) {
  await page.getByRole('button', { name: 'Go online' }).click();
  await expectOnline(page);
}

export const expectOnline = (page: Page) =>
  expect(page.getByText('Online', { exact: true })).toBeVisible();

export async function dial(page: Page, number = THEIR_NUMBER) {
  await page.getByLabel('Number to call').fill(number);
  await page.getByRole('button', { name: `Call ${number}` }).click();
}

/** Waits until the recording has this state and the page accepts the next command. */
export async function recordingIs(page: Page, state: string) {
  const recording = page.getByRole('group', { name: 'Recording' });
  await expect(recording.getByRole('strong')).toHaveText(state);
  await expect(recording).toHaveAttribute('aria-busy', 'false');
}

export const timer = (page: Page) => page.getByRole('timer');
export const ringing = (page: Page) => page.getByRole('alertdialog', { name: 'Incoming call' });
