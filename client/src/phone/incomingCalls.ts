/** Handles the calls that ring here: alerts the user, and applies decisions of this and other tabs. */
import { ApiError } from '../api/client';
import type { CurrentCall } from './currentCall';
import type { IncomingLeg, Leg } from './device';
import { type Dispatch, hasActiveCall, type PhoneState, type RingingCall } from './phoneState';
import type { Ringer, Stop } from './ringer';
import type { PhoneServer } from './server';
import type { Decision, TabChannel } from './tabChannel';

/** How often a confirmation is sent: the server waits some seconds for Twilio each time. */
export const CONFIRMATIONS_MAX = 5;

export interface IncomingCallsDeps {
  getState: () => PhoneState;
  dispatch: Dispatch;
  server: Pick<PhoneServer, 'confirmAnswered' | 'noteSignedOut' | 'refreshCall'>;
  currentCall: Pick<CurrentCall, 'answer' | 'setSid'>;
  tabs: Pick<TabChannel, 'listen' | 'send'>;
  ringer: Pick<Ringer, 'start'>;
  /** Plays the tone for a call that waits during another one. */
  callWaiting: () => Stop;
  /** Subscribes to a call once more that the server may have refused. */
  listenAgain: (callSid: string) => void;
  /** Called when a call stopped ringing without a decision of this browser. */
  onMissed: (sid: string | null, party: string) => void;
}

/** What is known of a ringing call beyond its state. */
interface RingingLeg {
  leg: Leg;
  /** The SID that all tabs know the call by. */
  sharedSid: string;
  party: string;
  stopAlert: Stop;
}

export class IncomingCalls {
  readonly #deps: IncomingCallsDeps;
  /** By the SIDs of the legs. */
  readonly #legs = new Map<string, RingingLeg>();

  constructor(deps: IncomingCallsDeps) {
    this.#deps = deps;
  }

  /** Applies decisions of other tabs until the returned function is called. */
  watchTabs(): Stop {
    return this.#deps.tabs.listen((sid, decision) => this.#applyDecision(sid, decision));
  }

  /** Takes up a call that begins to ring. */
  add({ leg, sid: legSid, from, parentSid }: IncomingLeg) {
    const party = from.replace(/^client:/, '');
    this.#deps.dispatch({ type: 'incoming', call: { legSid, sid: parentSid, party } });
    if (!this.#find(legSid)) return; // Too many calls ring.
    const sharedSid = parentSid ?? legSid;
    const stopAlert = this.#alert(sharedSid, party);
    this.#legs.set(legSid, { leg, sharedSid, party, stopAlert });
    leg.subscribe((event) => {
      if (event.type !== 'ended' || !this.#find(legSid)) return;
      this.#remove(legSid);
      this.#deps.onMissed(parentSid, party);
    });
  }

  async accept(legSid: string) {
    const { getState, dispatch, currentCall, server, listenAgain } = this.#deps;
    const call = this.#find(legSid);
    const ringing = this.#legs.get(legSid);
    if (!call || !ringing || hasActiveCall(getState())) return;
    this.#decide(call, 'answered');
    this.#legs.delete(legSid);
    dispatch({ type: 'accepted', legSid });
    this.restartAlerts();
    currentCall.answer(ringing.leg, call.sid);
    try {
      const sid = await this.#confirm(call.sid ?? legSid);
      currentCall.setSid(sid);
      // The server may have refused either while it did not know yet who answered.
      listenAgain(sid);
      server.refreshCall(sid);
    } catch (thrown) {
      // The call goes on all the same.
      server.noteSignedOut(thrown);
    }
  }

  reject(legSid: string) {
    const call = this.#find(legSid);
    if (call) this.#decide(call, 'rejected');
    this.#remove(legSid)?.reject();
  }

  /** Stops ringing here; elsewhere the call goes on ringing. */
  ignore(legSid: string) {
    const call = this.#find(legSid);
    if (call) this.#decide(call, 'ignored');
    this.#remove(legSid)?.ignore();
  }

  ignoreAll() {
    for (const { legSid } of this.#deps.getState().incoming) this.ignore(legSid);
  }

  /** Drops all calls without an answer: the device that they ring at is gone. */
  clear() {
    for (const { stopAlert } of this.#legs.values()) stopAlert();
    this.#legs.clear();
  }

  /** Rings aloud or softly, after the page's own call began or ended. */
  restartAlerts() {
    for (const ringing of this.#legs.values()) {
      ringing.stopAlert();
      ringing.stopAlert = this.#alert(ringing.sharedSid, ringing.party);
    }
  }

  #find(legSid: string): RingingCall | undefined {
    return this.#deps.getState().incoming.find((call) => call.legSid === legSid);
  }

  /** Rings aloud, or softly during another call. */
  #alert(sharedSid: string, party: string): Stop {
    const { getState, callWaiting, ringer } = this.#deps;
    return hasActiveCall(getState()) ? callWaiting() : ringer.start(sharedSid, party);
  }

  /** Stops the alert, and sends the decision to the other tabs. */
  #decide({ legSid, sid }: RingingCall, decision: Decision) {
    this.#legs.get(legSid)?.stopAlert();
    if (sid) this.#deps.tabs.send(sid, decision);
  }

  /** Removes a call before its leg ends, so that it does not count as missed; returns the leg. */
  #remove(legSid: string): Leg | undefined {
    const ringing = this.#legs.get(legSid);
    ringing?.stopAlert();
    this.#legs.delete(legSid);
    this.#deps.dispatch({ type: 'incoming-ended', legSid });
    return ringing?.leg;
  }

  /** Applies a decision of another tab to a call that rings here too. */
  #applyDecision(callSid: string, decision: Decision) {
    const call = this.#deps.getState().incoming.find(({ sid }) => sid === callSid);
    if (!call) return;
    const leg = this.#remove(call.legSid);
    if (decision === 'rejected') leg?.reject();
    if (decision === 'ignored') leg?.ignore();
  }

  /** Returns the server's SID of an answered call as soon as Twilio has told it of the answer. */
  async #confirm(sid: string): Promise<string> {
    for (let sent = 1; ; sent += 1) {
      try {
        return await this.#deps.server.confirmAnswered(sid);
      } catch (thrown) {
        const isEarly = thrown instanceof ApiError && thrown.code === 'not_answered_yet';
        if (!isEarly || sent >= CONFIRMATIONS_MAX) throw thrown;
      }
    }
  }
}
