/**
 * A fake Twilio for the page and the server: the signalling of the browser, the audio of the far end,
 * and the webhooks of the server, signed as Twilio signs them.
 */
import { createHmac } from 'node:crypto';
import type { Page } from '@playwright/test';
import { type FarEnd, openFarEnd } from './far-end';
import { openRecordings, type Recordings } from './recordings';
import { ALICE, test as base, expect, type Server } from './server';
import { type Leg, openSignalling, type Signalling } from './signalling';

export const OUR_NUMBER = '+14155550100';
const PUBLIC_URL = 'https://calls.example.org';
const AUTH_TOKEN = '0123456789abcdef0123456789abcdef';
const ACCOUNT_SID = 'AC00000000000000000000000000000001';

/** Invented credentials in a valid format. */
const SETTINGS = {
  PUBLIC_BASE_URL: PUBLIC_URL,
  TWILIO_ACCOUNT_SID: ACCOUNT_SID,
  TWILIO_AUTH_TOKEN: AUTH_TOKEN,
  TWILIO_API_KEY: 'SK00000000000000000000000000000002',
  TWILIO_API_SECRET: 'secret-secret-secret-secret-0123',
  TWILIO_TWIML_APP_SID: 'AP00000000000000000000000000000003',
  TWILIO_CALLER_ID: OUR_NUMBER,
  TRANSCRIPTION_SOURCE: 'off',
};

type Status = 'ringing' | 'in-progress' | 'completed' | 'busy' | 'no-answer';

/** The caller and the called number. */
interface Parties {
  From?: string;
  To?: string;
}

/** The fake Twilio between the server and the browsers. */
export class Twilio {
  readonly #url: string;
  readonly #signalling: Signalling;
  readonly #farEnd: FarEnd;
  /** The calls in progress, which the server limits per user. */
  readonly #going = new Set<string>();
  /** The ringing legs, each with its call and its caller. */
  readonly #rung = new Map<Leg, { callSid: string; from: string }>();
  #sequence = 0;

  constructor(url: string, signalling: Signalling, farEnd: FarEnd) {
    this.#url = url;
    this.#signalling = signalling;
    this.#farEnd = farEnd;
  }

  /** Takes the outgoing call of the page, and returns the TwiML of the server too. */
  async dialled(): Promise<{ leg: Leg; twiml: string }> {
    const leg = await this.#signalling.dialled();
    const twiml = await this.#ask('/voice', {
      CallSid: leg.callSid,
      From: `client:${leg.identity}`,
      To: leg.params.get('To') ?? '',
      CallStatus: 'ringing',
      Direction: 'inbound',
    });
    this.#going.add(leg.callSid);
    return { leg, twiml };
  }

  /** Hangs up the far end, and notifies the server. */
  async hangUp(leg: Leg) {
    leg.hangUp();
    await this.notifyServer(leg.callSid, 'completed');
  }

  /** Ends the calls that a test has left open. */
  async close() {
    for (const callSid of this.#going) await this.notifyServer(callSid, 'completed');
  }

  /** Takes an outgoing call through ringing to the answer. */
  async answered(): Promise<Leg> {
    const { leg } = await this.dialled();
    const child = this.#signalling.newCallSid();
    leg.ring();
    await this.notifyServer(child, 'ringing', leg.callSid);
    leg.answer(await this.#farEnd.answer(leg.sdp));
    await this.notifyServer(child, 'in-progress', leg.callSid);
    return leg;
  }

  /** Sends the status of a leg to the server; `parent` marks a leg dialled for that call. */
  async notifyServer(callSid: string, status: Status, parent?: string, parties: Parties = {}) {
    this.#sequence += 1;
    if (!parent && status !== 'ringing' && status !== 'in-progress') this.#going.delete(callSid);
    await this.#ask('/api/calls/status', {
      CallSid: callSid,
      CallStatus: status,
      SequenceNumber: String(this.#sequence),
      Timestamp: new Date().toUTCString(),
      ...(parent
        ? { Direction: 'outbound-dial', ParentCallSid: parent }
        : { Direction: 'inbound' }),
      ...parties,
    });
  }

  /** Reports a completed recording that started with the call. */
  async recorded(callSid: string) {
    await this.#ask('/api/recordings/status', {
      CallSid: callSid,
      RecordingSid: `RE${callSid.slice(2)}`,
      RecordingStatus: 'completed',
      RecordingChannels: '2',
      RecordingDuration: '5',
      RecordingStartTime: new Date().toUTCString(),
    });
  }

  /**
   * Places an incoming call: rings the browsers that the server names.
   *
   * @param farEnd another far end if the default one is in a call
   */
  async call(
    from: string,
    farEnd = this.#farEnd,
  ): Promise<{ callSid: string; rung: string[]; legs: Leg[] }> {
    const callSid = this.#signalling.newCallSid();
    const twiml = await this.#ask('/voice', {
      CallSid: callSid,
      From: from,
      To: OUR_NUMBER,
      CallStatus: 'ringing',
      Direction: 'inbound',
    });
    this.#going.add(callSid);
    const offer = await farEnd.offer();
    const named = /<Parameter name="callSid" value="([^"]*)"/.exec(twiml)?.[1] ?? '';
    const rung = [...twiml.matchAll(/<Identity>([^<]*)<\/Identity>/g)].map(([, one = '']) => one);
    const here = rung.filter((identity) => this.#signalling.registered.includes(identity));
    const ring = (identity: string) => {
      const leg = this.#signalling.invite(identity, from, offer, { callSid: named });
      this.#rung.set(leg, { callSid, from });
      return leg;
    };
    return { callSid, rung, legs: here.map(ring) };
  }

  /** Connects the audio of an accepted call, and tells the server who answered. */
  async connect(leg: Leg, farEnd = this.#farEnd) {
    await leg.heard('answer');
    await farEnd.acceptAnswer(leg.sdp);
    const rung = this.#rung.get(leg);
    const parties = { From: rung?.from ?? '', To: `client:${leg.identity}` };
    if (rung) await this.notifyServer(leg.callSid, 'in-progress', rung.callSid, parties);
  }

  /** Lets the caller give up, and notifies the server. */
  async giveUp({ callSid, legs }: { callSid: string; legs: Leg[] }) {
    for (const leg of legs) leg.cancel();
    await this.notifyServer(callSid, 'completed');
  }

  async #ask(path: string, fields: Record<string, string>): Promise<string> {
    const body = { AccountSid: ACCOUNT_SID, ApiVersion: '2010-04-01', ...fields };
    const signed = Object.entries(body)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .flat()
      .join('');
    const signature = createHmac('sha1', AUTH_TOKEN)
      .update(PUBLIC_URL + path + signed)
      .digest('base64');
    const answer = await fetch(this.#url + path, {
      method: 'POST',
      headers: { 'X-Twilio-Signature': signature },
      body: new URLSearchParams(body),
    });
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
    return answer.text();
  }
}

/** The cookie of a signed-in user. */
interface Session {
  name: string;
  value: string;
}

export async function openSession(server: Server): Promise<Session> {
  const headers = { 'content-type': 'application/json' };
  const body = JSON.stringify(ALICE);
  const answer = await fetch(`${server.url}/api/session`, { method: 'POST', headers, body });
  const [, name, value] = /^([^=]+)=([^;]+)/.exec(answer.headers.get('set-cookie') ?? '') ?? [];
  if (!name || !value) throw new Error(`nobody signed in: ${answer.status}`);
  return { name, value };
}

/** Opens the page with a session. */
export async function enter(page: Page, server: Server, session: Session) {
  const { hostname: domain } = new URL(server.url);
  await page.context().addCookies([{ ...session, domain, path: '/', secure: true }]);
  await page.goto('/');
}

export const test = base.extend<
  { farEnd: FarEnd; twilio: Twilio },
  { signalling: Signalling; recordings: Recordings; session: Session }
>({
  recordings: [
    // biome-ignore lint/correctness/noEmptyPattern: the first argument has to be one
    async ({}, use) => {
      const recordings = await openRecordings();
      await use(recordings);
      recordings.close();
    },
    { scope: 'worker' },
  ],
  settings: [
    ({ recordings }, use) => use({ ...SETTINGS, TWILIO_API_BASE_URL: recordings.url }),
    { scope: 'worker' },
  ],
  users: [[ALICE], { scope: 'worker' }],
  signalling: [
    // biome-ignore lint/correctness/noEmptyPattern: the first argument has to be one
    async ({}, use) => {
      const signalling = await openSignalling();
      await use(signalling);
      signalling.close();
    },
    { scope: 'worker' },
  ],
  launchOptions: [
    async ({ launchOptions, signalling }, use) => {
      const args = [...(launchOptions.args ?? []), ...signalling.browserArgs];
      await use({ ...launchOptions, args });
    },
    { scope: 'worker' },
  ],
  farEnd: async ({ browser, server }, use) => {
    const farEnd = await openFarEnd(browser, server.url);
    await use(farEnd);
    await farEnd.close();
  },
  twilio: async ({ server, signalling, farEnd, recordings }, use) => {
    // Removes the commands of earlier tests.
    recordings.asked.length = 0;
    const twilio = new Twilio(server.url, signalling, farEnd);
    await use(twilio);
    await twilio.close();
  },
  // One sign-in for all tests, since the server limits the rate.
  session: [({ server }, use) => openSession(server).then(use), { scope: 'worker' }],
  page: async ({ page, server, session }, use) => {
    await enter(page, server, session);
    await use(page);
  },
});

export { expect };
