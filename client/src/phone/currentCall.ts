/** Handles the call of this page: applies the events of its leg, and of the server, to the state. */
import type { CallStatus } from '../api/types';
import type { Leg, LegEvent } from './device';
import { type PhoneError, toPhoneError } from './errors';
import type { Dispatch, PhoneState } from './phoneState';
import type { Stop } from './ringer';

/** The server's live view of calls. */
export interface LiveCalls {
  statusOf: (sid: string) => CallStatus | null;
  /** Subscribes to a call, and reports each change of the view until the returned function is called. */
  follow: (sid: string, onChange: () => void) => Stop;
}

export interface CurrentCallDeps {
  getState: () => PhoneState;
  dispatch: Dispatch;
  live: LiveCalls;
  /** Plays a ringing tone. */
  ringBack: () => Stop;
  /** Returns the ID of the chosen microphone. */
  microphone: () => string;
  /** Called after the end of each call. */
  onEnded: () => void;
}

/** What is known of the call beyond its state. */
interface Connection {
  /** Null while the SDK sets the call up. */
  leg: Leg | null;
  hungUp: boolean;
  error: PhoneError | null;
  stopRingBack: Stop | undefined;
  stopFollowing: Stop | undefined;
}

export class CurrentCall {
  readonly #deps: CurrentCallDeps;
  #connection: Connection | undefined;

  constructor(deps: CurrentCallDeps) {
    this.#deps = deps;
  }

  /** Calls a number; `connect` sets up the leg. */
  async dial(to: string, connect: () => Promise<Leg>) {
    this.#deps.dispatch({ type: 'dialled', party: to });
    const connection = this.#begin();
    try {
      this.#attach(connection, await connect());
    } catch (thrown) {
      connection.error = toPhoneError(thrown);
      this.#end(connection);
    }
  }

  /** Answers a call that rings. */
  answer(leg: Leg, sid: string | null) {
    this.#attach(this.#begin(), leg);
    if (sid) this.#follow(sid);
    leg.accept(this.#deps.microphone());
  }

  /** Replaces the SID that the page assumed by the server's. */
  setSid(sid: string) {
    this.#deps.dispatch({ type: 'sid-known', sid });
    this.#follow(sid);
  }

  /** Ends the call, even while it is being set up. */
  hangUp() {
    if (!this.#connection) return;
    this.#connection.hungUp = true;
    this.#connection.leg?.hangUp();
  }

  setMuted(muted: boolean) {
    this.#connection?.leg?.mute(muted);
  }

  /** Sends DTMF tones; a comma waits, and what is no key is dropped. */
  sendDigits(typed: string) {
    const leg = this.#connection?.leg;
    const digits = typed.replaceAll(',', 'w').replace(/[^0-9*#w]/g, '');
    const stage = this.#deps.getState().call?.stage.name;
    if (!digits || !leg || (stage !== 'talking' && stage !== 'ringing')) return;
    leg.sendDigits(digits);
    this.#deps.dispatch({ type: 'digits-sent', digits: digits.replaceAll('w', ',') });
  }

  /** Takes up a call that the state has already. */
  #begin(): Connection {
    const connection: Connection = {
      leg: null,
      hungUp: false,
      error: null,
      stopRingBack: undefined,
      stopFollowing: undefined,
    };
    this.#connection = connection;
    return connection;
  }

  #attach(connection: Connection, leg: Leg) {
    connection.leg = leg;
    leg.subscribe((event) => this.#onLegEvent(connection, event));
    if (connection.hungUp) leg.hangUp();
  }

  #onLegEvent(connection: Connection, event: LegEvent) {
    if (this.#connection !== connection) return;
    const { dispatch, ringBack } = this.#deps;
    switch (event.type) {
      case 'sid-known':
        this.setSid(event.sid);
        break;
      case 'ringing':
        dispatch({ type: 'ringing' });
        if (!event.hasSound) connection.stopRingBack ??= ringBack();
        break;
      case 'connected':
        connection.stopRingBack?.();
        connection.stopRingBack = undefined;
        dispatch(event);
        break;
      case 'failed':
        connection.error = event.error;
        break;
      case 'ended':
        // The error that ended the call may follow at once.
        queueMicrotask(() => this.#end(connection));
        break;
      case 'reconnecting':
      case 'reconnected':
        connection.error = null;
        dispatch(event);
        break;
      default:
        dispatch(event);
    }
  }

  #end(connection: Connection) {
    if (this.#connection !== connection) return;
    this.#connection = undefined;
    connection.stopRingBack?.();
    connection.stopFollowing?.();
    const by = connection.hungUp ? 'us' : connection.error ? 'failure' : 'them';
    this.#deps.dispatch({ type: 'ended', by, error: connection.error });
    this.#deps.onEnded();
  }

  /** Applies the status of the call at the server, from its first change on. */
  #follow(sid: string) {
    const connection = this.#connection;
    if (!connection || connection.stopFollowing) return;
    const { live, dispatch } = this.#deps;
    let known = live.statusOf(sid);
    connection.stopFollowing = live.follow(sid, () => {
      const status = live.statusOf(sid);
      if (status === known || status === null) return;
      // The first status may be outdated: a call is stored as ringing.
      const isNews = known !== null || status === 'in-progress';
      known = status;
      if (isNews) dispatch({ type: 'server-status', status });
    });
  }
}
