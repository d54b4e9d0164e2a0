/** Helpers for the specs of live calls. */
import type { Locator, Page, WebSocketRoute } from '@playwright/test';
import type { CallDetail, CallEvent, ListenerRequest } from '../src/api/types';
import { expect } from './server';

/** Starts the recorded call, after an earlier one has ended. */
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

/** The final words that the server stores, sorted by time, once the transcript is complete. */
export async function wordsOf(page: Page, callSid: string): Promise<string[]> {
  await expect.poll(async () => (await callOf(page, callSid)).transcript).not.toBe('live');
  const { segments } = await callOf(page, callSid);
  return segments
    .filter(({ text }) => text !== '')
    .sort((a, b) => a.startMs - b.startMs)
    .map(({ text }) => text);
}

export const transcriptOf = (page: Page) => page.getByRole('region', { name: 'Transcript' });

/** The final words on the page, from top to bottom. */
export const shownWords = (page: Page): Promise<string[]> =>
  transcriptOf(page).locator('[data-state="settled"] [lang]').allTextContents();

/** The scroll position of a view once it stops: scrolling by wheel is animated. */
export async function restingScrollTop(view: Locator): Promise<number> {
  let scrollTop = Number.NaN;
  const isAtRest = async () => {
    const before = scrollTop;
    scrollTop = await view.evaluate((element) => element.scrollTop);
    return scrollTop === before;
  };
  await expect.poll(isAtRest).toBe(true);
  return scrollTop;
}

/**
 * Replaces the WebSocket of the server, and the record of a call that it does not know; everything
 * else is the real server. Each subscription starts with the snapshot.
 */
export async function mockChannel(page: Page, snapshot: CallEvent) {
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
    /** Resolves when the page has the snapshot. */
    subscribed,
    send: (event: CallEvent) => socket?.send(JSON.stringify(event)),
    /** Closes the connection. */
    drop: async () => socket?.close({ code: 1001 }),
  };
}
