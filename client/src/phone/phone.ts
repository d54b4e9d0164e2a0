/**
 * The page's phone: one state, changed by the connection to Twilio, the call of this page, and the
 * calls that ring. Knows the browser, the server and the SDK only by what is passed in.
 */
import { createStore, type StoreApi } from 'zustand';
import { CurrentCall, type LiveCalls } from './currentCall';
import type { CreateDevice } from './device';
import type { EnvironmentHandlers } from './environment';
import { IncomingCalls } from './incomingCalls';
import { type Dispatch, fold, hasActiveCall, INITIAL_STATE, type PhoneState } from './phoneState';
import type { Ringer, Stop } from './ringer';
import type { PhoneServer } from './server';
import { type OpenChannel, TabChannel } from './tabChannel';
import { type BrowserSupport, TwilioConnection } from './twilioConnection';

/** The live connection to the server. */
export interface LiveLink extends LiveCalls {
  /** Subscribes to a call once more that the server may have refused. */
  listenAgain: (callSid: string) => void;
  /** Keeps the connection open, and reports each time that it opens. */
  hold: (onOpen: () => void) => Stop;
}

export interface PhoneDeps {
  createDevice: CreateDevice;
  server: PhoneServer;
  live: LiveLink;
  browser: BrowserSupport;
  watchEnvironment: (handlers: EnvironmentHandlers) => Stop;
  openChannel: OpenChannel;
  ringer: Pick<Ringer, 'start'>;
  /** Tones that sound until they are stopped. */
  sounds: { ringBack: () => Stop; callWaiting: () => Stop };
  /** Returns the ID of a chosen device; empty for the system's. */
  chosenDevice: (kind: 'microphone' | 'speaker') => string;
  /** Called when a call stopped ringing without a decision of this browser. */
  onMissed: (sid: string | null, party: string) => void;
  newId: () => string;
  /** Returns 0 to 1. */
  chance: () => number;
}

export class Phone {
  readonly #deps: PhoneDeps;
  readonly #store: StoreApi<PhoneState> = createStore(() => INITIAL_STATE);
  readonly #connection: TwilioConnection;
  readonly #currentCall: CurrentCall;
  readonly #incoming: IncomingCalls;
  readonly #dispatch: Dispatch = (event) =>
    this.#store.setState((state) => fold(state, event, Date.now()));

  constructor(deps: PhoneDeps) {
    this.#deps = deps;
    const { getState } = this.#store;
    const { live, server, sounds, chosenDevice } = deps;
    const dispatch = this.#dispatch;
    this.#currentCall = new CurrentCall({
      getState,
      dispatch,
      live,
      ringBack: sounds.ringBack,
      microphone: () => chosenDevice('microphone'),
      onEnded: () => this.#onCallEnded(),
    });
    this.#incoming = new IncomingCalls({
      getState,
      dispatch,
      server,
      currentCall: this.#currentCall,
      tabs: new TabChannel(deps.openChannel),
      ringer: deps.ringer,
      callWaiting: sounds.callWaiting,
      listenAgain: live.listenAgain,
      onMissed: deps.onMissed,
    });
    this.#connection = new TwilioConnection({
      ...deps,
      getState,
      dispatch,
      incoming: this.#incoming,
      speaker: () => chosenDevice('speaker'),
      holdLiveLink: live.hold,
    });
  }

  /** The state, to read and to subscribe to. */
  get store(): Pick<StoreApi<PhoneState>, 'getState' | 'getInitialState' | 'subscribe'> {
    return this.#store;
  }

  /** Whether a call is in progress here. */
  get isInCall(): boolean {
    return hasActiveCall(this.#store.getState());
  }

  /** Makes this page a phone. Call it in a user gesture, which browsers require. */
  async goOnline() {
    await this.#connection.goOnline();
  }

  /** Ends the call, and stops being a phone. */
  goOffline() {
    this.hangUp();
    this.#connection.goOffline(null);
  }

  /** Goes offline, and clears the state: another user takes over the page. */
  reset() {
    this.goOffline();
    this.#dispatch({ type: 'reset' });
  }

  /** Gets an access token of the present session, after the user signed in again. */
  renewToken() {
    this.#connection.renewToken();
  }

  /** Calls a number in E.164; does nothing offline or during a call. */
  dial(to: string) {
    const { device } = this.#connection;
    if (!device || this.isInCall) return;
    // The SDK stops ringing once it calls.
    this.#incoming.ignoreAll();
    const connect = () => device.connect(to, this.#deps.chosenDevice('microphone'));
    void this.#currentCall.dial(to, connect);
  }

  hangUp() {
    this.#currentCall.hangUp();
  }

  setMuted(muted: boolean) {
    this.#currentCall.setMuted(muted);
  }

  /** Sends DTMF tones; a comma waits for half a second. */
  sendDigits(digits: string) {
    this.#currentCall.sendDigits(digits);
  }

  /** Closes the summary of a call that ended. */
  dismissEndedCall() {
    this.#dispatch({ type: 'dismissed' });
  }

  async accept(legSid: string) {
    await this.#incoming.accept(legSid);
  }

  reject(legSid: string) {
    this.#incoming.reject(legSid);
  }

  /** Stops ringing here; elsewhere the call goes on ringing. */
  ignore(legSid: string) {
    this.#incoming.ignore(legSid);
  }

  #onCallEnded() {
    this.#incoming.restartAlerts();
    this.#connection.releaseMicrophone();
    this.#deps.server.refreshCalls();
    void this.#connection.maintain();
  }
}
