/** The calls that ring at this page: what is decided about them, here and in the other tabs. */
import { ApiError, api, unwrap } from '../api/client';
import { callQuery, noteSignedOut, queries } from '../api/queries';
import type { CallRecord } from '../api/types';
import { listenAgain } from '../live/store';
import { carryIncoming, rename } from './carrier';
import type { Leg, Ringing } from './device';
import { noteMissed } from './missed';
import { type Incoming, isCarrying } from './phone';
import { announce, type Decision, decide } from './ringing';
import { callWaiting } from './sounds';
import { phoneStore, tell } from './store';

interface Rings {
  leg: Leg;
  /** The name that all tabs know the call by. */
  name: string;
  party: string;
  /** Stops what makes it noticed. */
  stop: () => void;
}

/** The calls that ring, by their legs. */
const ringing = new Map<string, Rings>();

/** Makes a call noticed: aloud, or softly beside the call that one has. */
const alert = (name: string, party: string) =>
  isCarrying(phoneStore.getState()) ? callWaiting() : announce(name, party);

export async function accept(legSid: string) {
  const incoming = find(legSid);
  const rings = ringing.get(legSid);
  if (!incoming || !rings || isCarrying(phoneStore.getState())) return;
  settle(incoming, 'answered');
  ringing.delete(legSid);
  tell({ type: 'put-away' });
  tell({ type: 'accepted', leg: legSid });
  alertAnew();
  carryIncoming(rings.leg, incoming.sid);
  try {
    const record = await confirm(incoming.sid ?? incoming.leg);
    rename(record.sid);
    // Either may have been refused while the server did not know yet whose call it is.
    listenAgain(record.sid);
    void queries.invalidateQueries(callQuery(record.sid));
  } catch (thrown) {
    // It goes on all the same.
    noteSignedOut(thrown);
  }
}

/** How often the server is asked whose call it is: it waits some seconds for Twilio each time. */
const CONFIRMATIONS_MAX = 5;

/** The record of a call that was answered here, as soon as Twilio has told the server of the answer. */
async function confirm(sid: string, tried = 1): Promise<CallRecord> {
  const body = { sid, direction: 'incoming' } as const;
  try {
    return await unwrap(api.POST('/api/calls', { body }));
  } catch (thrown) {
    const isEarly = thrown instanceof ApiError && thrown.code === 'not_answered_yet';
    if (!isEarly || tried >= CONFIRMATIONS_MAX) throw thrown;
    return confirm(sid, tried + 1);
  }
}

export function reject(legSid: string) {
  const incoming = find(legSid);
  if (incoming) settle(incoming, 'rejected');
  forget(legSid)?.reject();
}

/** Rings here no more; elsewhere it may. */
export function ignore(legSid: string) {
  const incoming = find(legSid);
  if (incoming) settle(incoming, 'ignored');
  forget(legSid)?.ignore();
}

const find = (legSid: string) => phoneStore.getState().incoming.find(({ leg }) => leg === legSid);

/** Decided here: it is quiet, and the other tabs know. */
function settle({ leg, sid }: Incoming, decision: Decision) {
  ringing.get(leg)?.stop();
  if (sid) decide(sid, decision);
}

/** It rings here no more; its leg. First of all: what is forgotten was not missed when it is over. */
function forget(legSid: string): Leg | undefined {
  const rings = ringing.get(legSid);
  rings?.stop();
  ringing.delete(legSid);
  tell({ type: 'rang-out', leg: legSid });
  return rings?.leg;
}

/** Another tab decided about a call that rings here too. */
export function obey(call: string, decision: Decision) {
  const incoming = phoneStore.getState().incoming.find(({ sid }) => sid === call);
  if (!incoming) return;
  const leg = forget(incoming.leg);
  if (decision === 'rejected') leg?.reject();
  if (decision === 'ignored') leg?.ignore();
}

/** A call begins or ends here: those that ring wait beside it, or ring aloud. */
export function alertAnew() {
  for (const rings of ringing.values()) {
    rings.stop();
    rings.stop = alert(rings.name, rings.party);
  }
}

/** It begins to ring. */
export function rang({ leg, sid: legSid, from, parentSid }: Ringing) {
  const party = from.replace(/^client:/, '');
  tell({ type: 'rang', incoming: { leg: legSid, sid: parentSid, party } });
  if (!find(legSid)) return; // Too many ring.
  const name = parentSid ?? legSid;
  ringing.set(legSid, { leg, name, party, stop: alert(name, party) });
  leg.hear((event) => {
    if (event.type !== 'over' || !find(legSid)) return;
    forget(legSid);
    void noteMissed(parentSid, party);
  });
}

/** None of them rings here any more; elsewhere they may. */
export function ignoreAll() {
  for (const { leg } of phoneStore.getState().incoming) ignore(leg);
}

/** The line is gone, and they with it. */
export function dropAll() {
  for (const { stop } of ringing.values()) stop();
  ringing.clear();
}
