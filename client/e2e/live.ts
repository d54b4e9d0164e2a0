/** What the specs of live calls share. */
import type { Page } from '@playwright/test';
import type { CallDetail } from '../src/api/types';
import { expect } from './server';

/** Begins the recorded call, once the one before it is over. */
export async function simulate(page: Page): Promise<string> {
  let callSid = '';
  await expect(async () => {
    const answer = await page.request.post('/api/simulation');
    expect(answer.status()).toBe(201);
    callSid = (await answer.json()).callSid;
  }).toPass({ timeout: 60_000 });
  return callSid;
}

export async function callOf(page: Page, callSid: string): Promise<CallDetail> {
  const answer = await page.request.get(`/api/calls/${callSid}`);
  expect(answer.ok()).toBe(true);
  return answer.json();
}

/** The settled words as the server keeps them, in order of time. */
export async function wordsOf(page: Page, callSid: string): Promise<string[]> {
  const { segments } = await callOf(page, callSid);
  return segments
    .filter(({ text }) => text !== '')
    .sort((a, b) => a.startMs - b.startMs)
    .map(({ text }) => text);
}

export const transcriptOf = (page: Page) => page.getByRole('region', { name: 'Transcript' });

/** The settled words on the page, from top to bottom. */
export const shownWords = (page: Page): Promise<string[]> =>
  transcriptOf(page).locator('[data-state="settled"] [lang]').allTextContents();
