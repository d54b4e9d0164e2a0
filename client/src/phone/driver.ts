/** Drives the phone: keeps it registered at Twilio, and takes what rings. Decides nothing of calls. */
import { ApiError, api, unwrap } from '../api/client';
import { noteSignedOut, queries } from '../api/queries';
import { waitMs } from '../live/backoff';
import { holdLink } from '../live/store';
import { readPreference } from '../settings/preferences';
import { carryOutgoing, hangUp, whenOver } from './carrier';
import { openTelephone, type Telephone } from './device';
import { needsToken, type Trouble, trouble, troubleOf } from './errors';
import { alertAnew, dropAll, ignoreAll, obey, rang } from './incoming';
import { dueInMs, type Pass } from './pass';
import { isCarrying, QUIET } from './phone';
import { Registration } from './registration';
import { askForNotices, hearDecisions } from './ringing';
import { unlockSounds } from './sounds';
import { phoneStore, tell } from './store';
import { tabName } from './tab';
import { hearWorld } from './world';

/** The first registering takes no longer, or there is a reason to tell. */
const ONLINE_WITHIN_MS = 20_000;

/** The SDK comes back by itself within this, or another one is made. */
const COMES_BACK_WITHIN_MS = 20_000;

let telephone: Telephone | undefined;
/** Counts telephones: what an earlier one still tells is not heard. */
let opened = 0;
let pass: Pass | undefined;
/** What the browser is called at Twilio by the telephone that is open. */
let identity: string | undefined;
let failures = 0;
/** Runs out when there is something to do: a pass to replace, or a line to mend. */
let alarm: ReturnType<typeof setTimeout> | undefined;
let isMending = false;
let stopHearing: (() => void) | undefined;

/** What the server knows of it: calls ring only browsers of which it was told. */
const registration = new Registration({
  register: (body) => unwrap(api.POST('/api/registrations', { body })),
  unregister: (id) =>
    api
      .DELETE('/api/registrations/{id}', { params: { path: { id } }, keepalive: true })
      // A server that is gone rings nobody; the registration ends with its pass.
      .catch(() => undefined),
  onTold: () => {
    if (!isWanted() || !telephone?.isRegistered()) return;
    tell({ type: 'registered' });
    setAlarm();
  },
  onFailed: (thrown) => {
    noteSignedOut(thrown);
    if (lineName() === 'going-online') leave(troubleOf(thrown));
    else if (thrown instanceof ApiError && thrown.code === 'pass_over') renewPass();
  },
  newId: () => crypto.randomUUID(),
  chance: Math.random,
});

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

/** Signed in again: with a pass of this session the browser can be called, and can call, anew. */
export function renewPass() {
  pass = undefined;
  // In a call the sound would break off for a moment; it is mended when that is over.
  if (!carries()) void mend();
}

function leave(why: Trouble | null) {
  clearTimeout(alarm);
  giveBack();
  stopHearing?.();
  stopHearing = undefined;
  opened += 1;
  dropAll();
  telephone?.destroy();
  telephone = undefined;
  identity = undefined;
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
  alertAnew();
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
  let receivedAt = new Date().toUTCString();
  const browser = await tabName();
  const answer = api.GET('/api/token', { params: { query: { browser } } }).then((answered) => {
    receivedAt = answered.response.headers.get('date') ?? receivedAt;
    return answered;
  });
  const { token, identity, expiresAt, edge } = await unwrap(answer);
  const lifeMs = Date.parse(expiresAt) - Date.parse(receivedAt);
  const receivedAtMs = Date.now();
  return { token, identity, browser, expiresAt, edge: edge ?? null, receivedAtMs, lifeMs };
}

/** Calls to us ring here no more, whatever becomes of the page. */
function giveBack() {
  pass = undefined;
  registration.end();
}

/** Twilio has this browser, with the pass that is held. */
function announce() {
  if (pass) registration.begin(pass.browser, pass.expiresAt);
}

async function open() {
  opened += 1;
  const mine = opened;
  const isMine = () => mine === opened;
  const before = telephone;
  telephone = undefined;
  before?.destroy();
  identity = pass?.identity;
  const phone = await openTelephone(pass?.token ?? '', pass?.edge ?? null, {
    onRegistered: () => {
      if (!isMine()) return;
      failures = 0;
      announce();
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
    leave(trouble(telephone?.isRegistered() ? 'no-internet' : 'line-not-up'));
    return;
  }
  isMending = true;
  try {
    if (!pass || dueInMs(pass, Date.now(), carries()) === 0) {
      const next = await askForPass();
      if (!isWanted()) return;
      pass = next;
      if (next.identity === identity) {
        telephone?.replaceToken(next.token);
        if (telephone?.isRegistered()) announce();
      }
    }
    // After another sign-in the browser has another name, which only a new telephone can take. A call
    // goes on over a line of its own: it must not be cut.
    const isOurs = pass.identity === identity && telephone?.isRegistered();
    if (!isOurs && !carries()) await open();
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
  // A server that comes back may not know of this browser any more.
  const stopHolding = holdLink(() => registration.repeat());
  return () => {
    stopWorld();
    stopDecisions();
    stopHolding();
  };
}
