/** What the specs of live calls share. */
import type { Locator, Page, WebSocketRoute } from '@playwright/test';
import type { CallDetail, CallEvent, ListenerRequest } from '../src/api/types';
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

/** The settled words as the server keeps them, in order of time, once no more of them come. */
export async function wordsOf(page: Page, callSid: string): Promise<string[]> {
  await expect.poll(async () => (await callOf(page, callSid)).transcript).not.toBe('live');
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

/** Where a view has scrolled to, once it is at rest: a wheel's turn takes its time. */
export async function restingPlace(view: Locator): Promise<number> {
  let place = Number.NaN;
  const isAtRest = async () => {
    const before = place;
    place = await view.evaluate((element) => element.scrollTop);
    return place === before;
  };
  await expect.poll(isAtRest).toBe(true);
  return place;
}

/**
 * Stands in for the server's channel, and for the record of a call that it does not know; everything
 * else is the server's. The snapshot is what each subscription begins with.
 */
export async function standIn(page: Page, snapshot: CallEvent) {
  const { callSid } = snapshot;
  let socket: WebSocketRoute | undefined;
  let answered = () => {};
  const subscribed = new Promise<void>((done) => {
    answered = done;
  });
  await page.routeWebSocket('**/ws/transcriptions', (route) => {
    socket = route;
    route.onMessage((text) => {
      const request: ListenerRequest = JSON.parse(String(text));
      if (request.type === 'ping') route.send('{"type":"pong"}');
      if (request.type !== 'subscribe') return;
      route.send(JSON.stringify(snapshot));
      answered();
    });
  });
  const record: CallDetail = {
    sid: callSid,
    direction: 'outgoing',
    status: 'in-progress',
    from: 'alice',
    to: 'Anna',
    startedAt: new Date().toISOString(),
    transcript: 'live',
    announced: true,
    hasAudio: false,
    notes: '',
    labels: [],
    segments: [],
    events: [],
    legs: [],
    recordings: [],
  };
  await page.route(`**/api/calls/${callSid}`, (route) => route.fulfill({ json: record }));
  return {
    /** The page has the snapshot: what is told now is heard. */
    subscribed,
    tell: (event: CallEvent) => socket?.send(JSON.stringify(event)),
    /** The line goes down. */
    drop: async () => socket?.close({ code: 1001 }),
  };
}
