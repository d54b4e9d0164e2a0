/** Drives the phone: keeps it registered at Twilio, and takes what rings. Decides nothing of calls. */
import { api, unwrap } from '../api/client';
import { noteSignedOut, queries } from '../api/queries';
import { waitMs } from '../live/backoff';
import { readPreference } from '../settings/preferences';
import { carryOutgoing, hangUp, whenOver } from './carrier';
import { openTelephone, type Telephone } from './device';
import { needsToken, type Trouble, trouble, troubleOf } from './errors';
import { dropAll, ignoreAll, obey, rang } from './incoming';
import { dueInMs, type Pass } from './pass';
import { isCarrying, QUIET } from './phone';
import { askForNotices, hearDecisions } from './ringing';
import { unlockSounds } from './sounds';
import { phoneStore, tell } from './store';
import { hearWorld } from './world';

/** The first registering takes no longer, or there is a reason to tell. */
const ONLINE_WITHIN_MS = 20_000;

/** The SDK comes back by itself within this, or another one is made. */
const COMES_BACK_WITHIN_MS = 20_000;

/** What this tab calls itself to the server: its identity at Twilio stays the same. */
const TAB = 'callburner.tab';

let telephone: Telephone | undefined;
/** Counts telephones: what an earlier one still tells is not heard. */
let opened = 0;
let pass: Pass | undefined;
let failures = 0;
/** Runs out when there is something to do: a pass to replace, or a line to mend. */
let alarm: ReturnType<typeof setTimeout> | undefined;
let isMending = false;
let stopHearing: (() => void) | undefined;
/** Done once the server knows that this page went offline. */
let told: Promise<unknown> = Promise.resolve();

const isWanted = () => stopHearing !== undefined;
const carries = () => isCarrying(phoneStore.getState());
const lineName = () => phoneStore.getState().line.name;

/** Makes this page a phone. To be called while somebody presses something. */
export async function goOnline() {
  if (isWanted()) return;
  const reason = obstacle();
  if (reason) {
    tell({ type: 'went-offline', trouble: reason });
    return;
  }
  tell({ type: 'going-online' });
  askForNotices();
  unlockSounds();
  const mine = hear();
  stopHearing = mine;
  // Somebody may think better of it meanwhile.
  const isOn = () => stopHearing === mine;
  try {
    await tryMicrophone();
    const first = await askForPass();
    if (!isOn()) return;
    pass = first;
    await open();
    if (isOn()) setAlarm(ONLINE_WITHIN_MS);
  } catch (thrown) {
    noteSignedOut(thrown);
    if (isOn()) leave(troubleOf(thrown));
  }
}

/** Is a phone no more. A call that goes on ends. */
export function goOffline() {
  hangUp();
  leave(null);
}

/** Somebody else uses the page now: nothing of the last user's stays. */
export function forgetPhone() {
  goOffline();
  phoneStore.setState(QUIET);
}

/** Signed in again: the server, which forgot this page with its session, has calls ring here anew. */
export function renewPass() {
  pass = undefined;
  // In a call the sound would break off for a moment; it is mended when that is over.
  if (!carries()) void mend();
}

function leave(why: Trouble | null) {
  clearTimeout(alarm);
  if (isWanted()) giveBack();
  stopHearing?.();
  stopHearing = undefined;
  opened += 1;
  dropAll();
  telephone?.destroy();
  telephone = undefined;
  pass = undefined;
  failures = 0;
  tell({ type: 'went-offline', trouble: why });
}

/** Calls a number, in E.164. */
export function dial(to: string) {
  const phone = telephone;
  if (!phone || carries()) return;
  // The SDK rings no more once it calls.
  ignoreAll();
  tell({ type: 'put-away' });
  void carryOutgoing(to, () => phone.dial(to, readPreference('microphone')));
}

whenOver(() => {
  void telephone?.releaseMicrophone().catch(() => undefined);
  void queries.invalidateQueries({ queryKey: ['calls'] });
  void mend();
});

/** What the page cannot do without, or why it cannot be a phone. */
function obstacle(): Trouble | null {
  if (!window.isSecureContext) return trouble('insecure-page');
  if (typeof RTCPeerConnection === 'undefined' || !navigator.mediaDevices)
    return trouble('no-webrtc');
  return null;
}

/** The permission is asked for here, and not when the first call comes. */
async function tryMicrophone() {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  for (const track of stream.getTracks()) track.stop();
}

async function askForPass(): Promise<Pass> {
  // The other way round, nobody would ring this page.
  await told;
  let receivedAt = new Date().toUTCString();
  const browser = tab();
  const answer = api.GET('/api/token', { params: { query: { browser } } }).then((answered) => {
    receivedAt = answered.response.headers.get('date') ?? receivedAt;
    return answered;
  });
  const { token, expiresAt, edge } = await unwrap(answer);
  const lifeMs = Date.parse(expiresAt) - Date.parse(receivedAt);
  return { token, edge: edge ?? null, receivedAtMs: Date.now(), lifeMs };
}

/** Calls to us ring here no more, whatever becomes of the page. A server that is gone rings nobody. */
function giveBack() {
  pass = undefined;
  const params = { query: { browser: tab() } };
  told = api.DELETE('/api/token', { params, keepalive: true }).catch(() => undefined);
}

function tab(): string {
  const made = crypto.randomUUID();
  try {
    const kept = sessionStorage.getItem(TAB);
    if (kept) return kept;
    sessionStorage.setItem(TAB, made);
  } catch {
    // A browser that keeps nothing: another name each time.
  }
  return made;
}

async function open() {
  opened += 1;
  const mine = opened;
  const isMine = () => mine === opened;
  const before = telephone;
  telephone = undefined;
  before?.destroy();
  const phone = await openTelephone(pass?.token ?? '', pass?.edge ?? null, {
    onRegistered: () => {
      if (!isMine()) return;
      failures = 0;
      tell({ type: 'registered' });
      setAlarm();
    },
    onUnregistered: () => {
      if (!isMine()) return;
      tell({ type: 'line-lost', trouble: null });
      setAlarm();
    },
    onTrouble: (why) => {
      if (isMine()) troubled(why);
    },
    onIncoming: (call) => {
      if (isMine()) rang(call);
    },
  });
  if (!isMine()) {
    phone.destroy();
    return;
  }
  telephone = phone;
  void phone.setSpeaker(readPreference('speaker')).catch(() => undefined);
}

function troubled(why: Trouble) {
  if (lineName() === 'going-online') {
    // The SDK tries a line that is down again by itself, and the alarm ends that.
    if (why.cause !== 'no-line') leave(why);
    return;
  }
  tell({ type: 'line-lost', trouble: why });
  if (needsToken(why)) {
    pass = undefined;
    setAlarm(waitMs(failures + 1, Math.random()));
  } else setAlarm();
}

/** Wakes when something is due: soon while the line is lost, else with the pass. */
function setAlarm(inMs?: number) {
  clearTimeout(alarm);
  if (!isWanted()) return;
  const due = pass ? dueInMs(pass, Date.now(), carries()) : 0;
  const ms = lineName() === 'online' ? due : COMES_BACK_WITHIN_MS;
  alarm = setTimeout(mend, inMs ?? ms);
}

/** Replaces a pass that is due, and a telephone that does not come back. */
async function mend() {
  if (!isWanted() || isMending) return;
  if (lineName() === 'going-online') {
    if (!telephone?.isRegistered()) leave(trouble('no-line'));
    return;
  }
  isMending = true;
  try {
    if (!pass || dueInMs(pass, Date.now(), carries()) === 0) {
      const next = await askForPass();
      if (!isWanted()) return;
      pass = next;
      telephone?.replaceToken(next.token);
    }
    // A call goes on over a line of its own: it must not be cut.
    if (!telephone?.isRegistered() && !carries()) await open();
    failures = 0;
    setAlarm();
  } catch (thrown) {
    noteSignedOut(thrown);
    failures += 1;
    setAlarm(waitMs(failures, Math.random()));
  } finally {
    isMending = false;
  }
}

/** While this page is a phone. */
function hear(): () => void {
  const stopWorld = hearWorld({
    onGone: giveBack,
    onWake: () => {
      if (lineName() !== 'going-online') void mend();
    },
    onMicrophone: (deviceId) => {
      if (carries()) void telephone?.setMicrophone(deviceId).catch(() => undefined);
    },
    onSpeaker: (deviceId) => void telephone?.setSpeaker(deviceId).catch(() => undefined),
  });
  const stopDecisions = hearDecisions(obey);
  return () => {
    stopWorld();
    stopDecisions();
  };
}
