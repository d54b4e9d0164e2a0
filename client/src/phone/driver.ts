/** Drives the phone: keeps it registered at Twilio, and takes what rings. Decides nothing of calls. */
import { api, unwrap } from '../api/client';
import { noteSignedOut, queries } from '../api/queries';
import { waitMs } from '../live/backoff';
import { readPreference, watchPreferences } from '../settings/preferences';
import { carryIncoming, carryOutgoing, hangUp, obstacle, rename } from './carrier';
import { type Leg, openTelephone, type Ringing, type Telephone } from './device';
import { needsToken, type Trouble, trouble, troubleOf } from './errors';
import { noteMissed } from './missed';
import { dueInMs, type Pass } from './pass';
import { type Incoming, isCarrying, QUIET } from './phone';
import { announce, askForNotices, type Decision, decide, hearDecisions } from './ringing';
import { unlockSounds } from './sounds';
import { phoneStore, tell } from './store';

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
/** The legs of the calls that ring, and what stops their ringing. */
const ringing = new Map<string, { leg: Leg; stop: () => void }>();

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
  stopHearing = hearWorld();
  try {
    await tryMicrophone();
    pass = await askForPass();
    await open();
    setAlarm(ONLINE_WITHIN_MS);
  } catch (thrown) {
    noteSignedOut(thrown);
    leave(troubleOf(thrown));
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

function leave(why: Trouble | null) {
  clearTimeout(alarm);
  stopHearing?.();
  stopHearing = undefined;
  opened += 1;
  for (const { stop } of ringing.values()) stop();
  ringing.clear();
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
  for (const { leg } of phoneStore.getState().incoming) ignore(leg);
  tell({ type: 'put-away' });
  void carryOutgoing(to, () => phone.dial(to, readPreference('microphone')), afterCall);
}

export async function accept(legSid: string) {
  const incoming = find(legSid);
  const rings = ringing.get(legSid);
  if (!incoming || !rings || carries()) return;
  settle(incoming, 'answered');
  ringing.delete(legSid);
  for (const { stop } of ringing.values()) stop();
  tell({ type: 'put-away' });
  tell({ type: 'accepted', leg: legSid });
  carryIncoming(rings.leg, incoming.sid, afterCall);
  try {
    const sid = incoming.sid ?? incoming.leg;
    const body = { sid, direction: 'incoming' } as const;
    const record = await unwrap(api.POST('/api/calls', { body }));
    rename(record.sid);
  } catch (thrown) {
    // It goes on all the same; its words are then for admins alone.
    noteSignedOut(thrown);
  }
}

export function reject(legSid: string) {
  const incoming = find(legSid);
  if (incoming) settle(incoming, 'rejected');
  ringing.get(legSid)?.leg.reject();
  forget(legSid);
}

/** Rings here no more; elsewhere it may. */
export function ignore(legSid: string) {
  const incoming = find(legSid);
  if (incoming) settle(incoming, 'ignored');
  ringing.get(legSid)?.leg.ignore();
  forget(legSid);
}

const find = (legSid: string) => phoneStore.getState().incoming.find(({ leg }) => leg === legSid);

/** Decided here: it is quiet, and the other tabs know. */
function settle({ leg, sid }: Incoming, decision: Decision) {
  ringing.get(leg)?.stop();
  if (sid) decide(sid, decision);
}

function forget(legSid: string) {
  ringing.get(legSid)?.stop();
  ringing.delete(legSid);
  tell({ type: 'rang-out', leg: legSid });
}

/** Another tab decided about a call that rings here too. */
function obey(call: string, decision: Decision) {
  const incoming = phoneStore.getState().incoming.find(({ sid }) => sid === call);
  const rings = incoming && ringing.get(incoming.leg);
  if (!rings) return;
  if (decision === 'rejected') rings.leg.reject();
  if (decision === 'ignored') rings.leg.ignore();
  forget(incoming.leg);
}

function rang({ leg, sid: legSid, from, parentSid }: Ringing) {
  const party = from.replace(/^client:/, '');
  tell({ type: 'rang', incoming: { leg: legSid, sid: parentSid, party } });
  if (!find(legSid)) return; // Too many ring.
  ringing.set(legSid, { leg, stop: announce(parentSid ?? legSid, party) });
  leg.hear((event) => {
    if (event.type !== 'over' || !find(legSid)) return;
    forget(legSid);
    void noteMissed(parentSid, party);
  });
}

function afterCall() {
  void telephone?.releaseMicrophone().catch(() => undefined);
  void queries.invalidateQueries({ queryKey: ['calls'] });
  void mend();
}

/** The permission is asked for here, and not when the first call comes. */
async function tryMicrophone() {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  for (const track of stream.getTracks()) track.stop();
}

async function askForPass(): Promise<Pass> {
  let receivedAt = new Date().toUTCString();
  const browser = tab();
  const answer = api.GET('/api/token', { params: { query: { browser } } }).then((answered) => {
    receivedAt = answered.response.headers.get('date') ?? receivedAt;
    return answered;
  });
  const { token, expiresAt } = await unwrap(answer);
  const lifeMs = Date.parse(expiresAt) - Date.parse(receivedAt);
  return { token, receivedAtMs: Date.now(), lifeMs };
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
  const phone = await openTelephone(pass?.token ?? '', {
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
      pass = await askForPass();
      telephone?.replaceToken(pass.token);
    }
    // A call goes on over a line of its own: it must not be cut.
    if (isWanted() && !telephone?.isRegistered() && !carries()) await open();
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

/** What happens around the page while it is a phone. */
function hearWorld(): () => void {
  const wake = () => {
    if (lineName() !== 'going-online') void mend();
  };
  const show = () => {
    if (document.visibilityState === 'visible') wake();
  };
  window.addEventListener('online', wake);
  window.addEventListener('pageshow', wake);
  document.addEventListener('resume', wake);
  document.addEventListener('visibilitychange', show);
  const stopDecisions = hearDecisions(obey);
  let { microphone, speaker } = {
    microphone: readPreference('microphone'),
    speaker: readPreference('speaker'),
  };
  const stopPreferences = watchPreferences((chosen) => {
    if (chosen.speaker !== speaker)
      void telephone?.setSpeaker(chosen.speaker).catch(() => undefined);
    if (chosen.microphone !== microphone && carries())
      void telephone?.setMicrophone(chosen.microphone).catch(() => undefined);
    ({ microphone, speaker } = chosen);
  });
  return () => {
    window.removeEventListener('online', wake);
    window.removeEventListener('pageshow', wake);
    document.removeEventListener('resume', wake);
    document.removeEventListener('visibilitychange', show);
    stopDecisions();
    stopPreferences();
  };
}
