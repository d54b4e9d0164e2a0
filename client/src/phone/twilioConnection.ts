/**
 * Keeps this browser registered at Twilio while the phone is online: refreshes the access token, and
 * replaces a device that does not reconnect. Does not handle calls.
 */
import { ApiError } from '../api/client';
import { backoffMs } from '../live/backoff';
import { type AccessToken, refreshDueInMs } from './accessToken';
import { type CreateDevice, openDevice, type VoiceDevice } from './device';
import type { EnvironmentHandlers } from './environment';
import { needsToken, type PhoneError, phoneError, toPhoneError } from './errors';
import type { IncomingCalls } from './incomingCalls';
import { type Dispatch, hasActiveCall, type Line, type PhoneState } from './phoneState';
import { Registration } from './registration';
import type { Stop } from './ringer';
import type { PhoneServer } from './server';

/** The first registration takes at most this long, or the phone goes offline with an error. */
export const ONLINE_WITHIN_MS = 20_000;

/** The SDK reconnects by itself within this time, or the device is replaced. */
export const RECONNECTS_WITHIN_MS = 20_000;

/** What the phone checks and requests of the browser when it goes online. */
export interface BrowserSupport {
  /** Returns why this page cannot be a phone; null if it can. */
  missing: () => PhoneError | null;
  /** Unlocks sounds, and asks for the permission to notify. */
  prepareAlerts: () => void;
  requestMicrophone: () => Promise<void>;
  /** Claims the name of this tab; called once. */
  claimTabName: () => Promise<string>;
}

export interface TwilioConnectionDeps {
  getState: () => PhoneState;
  dispatch: Dispatch;
  createDevice: CreateDevice;
  server: PhoneServer;
  browser: BrowserSupport;
  incoming: Pick<IncomingCalls, 'add' | 'clear' | 'watchTabs'>;
  /** Returns the ID of the chosen speaker. */
  speaker: () => string;
  watchEnvironment: (handlers: EnvironmentHandlers) => Stop;
  /** Keeps the live connection to the server open, and reports each time that it opens. */
  holdLiveLink: (onOpen: () => void) => Stop;
  newId: () => string;
  /** Returns 0 to 1. */
  chance: () => number;
}

export class TwilioConnection {
  readonly #deps: TwilioConnectionDeps;
  /** Reports this browser to the server, which rings only those that it knows. */
  readonly #registration: Registration;
  #tabName: Promise<string> | undefined;
  #device: VoiceDevice | undefined;
  /** Counts devices: events of an earlier one are ignored. */
  #generation = 0;
  #token: AccessToken | undefined;
  /** The identity at Twilio of the device that is open. */
  #identity: string | undefined;
  #failures = 0;
  /** Fires when a token is to be refreshed, or a device to be replaced. */
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isMaintaining = false;
  /** Defined while the phone is online or on its way there. */
  #stopWatching: Stop | undefined;

  constructor(deps: TwilioConnectionDeps) {
    this.#deps = deps;
    const { server, newId, chance } = deps;
    this.#registration = new Registration({
      register: server.register,
      unregister: server.unregister,
      onRegistered: () => this.#onRegistered(),
      onFailed: (thrown) => this.#onRegistrationFailed(thrown),
      newId,
      chance,
    });
  }

  /** The device to call with; undefined while there is none. */
  get device(): VoiceDevice | undefined {
    return this.#device;
  }

  /** Makes this page a phone. Call it in a user gesture, which browsers require. */
  async goOnline() {
    if (this.#isWanted) return;
    const { browser, server, dispatch } = this.#deps;
    const error = browser.missing();
    if (error) {
      dispatch({ type: 'went-offline', error });
      return;
    }
    dispatch({ type: 'going-online' });
    browser.prepareAlerts();
    const stopWatching = this.#watch();
    this.#stopWatching = stopWatching;
    // The user may go offline again meanwhile.
    const isCurrent = () => this.#stopWatching === stopWatching;
    try {
      await browser.requestMicrophone();
      const token = await this.#requestToken();
      if (!isCurrent()) return;
      this.#token = token;
      await this.#open();
      if (isCurrent()) this.#schedule(ONLINE_WITHIN_MS);
    } catch (thrown) {
      server.noteSignedOut(thrown);
      if (isCurrent()) this.goOffline(toPhoneError(thrown));
    }
  }

  /** Closes the device, and reports that this page is not a phone any more. */
  goOffline(error: PhoneError | null) {
    clearTimeout(this.#timer);
    this.#unregister();
    this.#stopWatching?.();
    this.#stopWatching = undefined;
    this.#generation += 1;
    this.#deps.incoming.clear();
    this.#device?.destroy();
    this.#device = undefined;
    this.#identity = undefined;
    this.#failures = 0;
    this.#deps.dispatch({ type: 'went-offline', error });
  }

  /** Replaces the access token by one of the present session. */
  renewToken() {
    this.#token = undefined;
    // A new token would interrupt the sound of a call; its end triggers the maintenance.
    if (!this.#isInCall) void this.maintain();
  }

  /** Releases a microphone that was chosen during a call. */
  releaseMicrophone() {
    void this.#device?.releaseMicrophone().catch(() => undefined);
  }

  /** Refreshes a token that is due, and replaces a device that does not reconnect. */
  async maintain() {
    if (!this.#isWanted || this.#isMaintaining) return;
    if (this.#lineName === 'going-online') {
      const isAtTwilio = this.#device?.isRegistered();
      this.goOffline(phoneError(isAtTwilio ? 'no-internet' : 'line-not-up'));
      return;
    }
    this.#isMaintaining = true;
    try {
      await this.#refreshAndReopen();
    } catch (thrown) {
      this.#deps.server.noteSignedOut(thrown);
      this.#failures += 1;
      this.#schedule(backoffMs(this.#failures, this.#deps.chance()));
    } finally {
      this.#isMaintaining = false;
    }
  }

  async #refreshAndReopen() {
    if (!this.#token || refreshDueInMs(this.#token, Date.now(), this.#isInCall) === 0) {
      const next = await this.#requestToken();
      if (!this.#isWanted) return;
      this.#token = next;
      if (next.identity === this.#identity) {
        this.#device?.updateToken(next.token);
        if (this.#device?.isRegistered()) this.#register();
      }
    }
    // After another sign-in the browser has another identity, which only a new device can take. A
    // call must not be cut: it goes on over a connection of its own.
    const isUsable = this.#token.identity === this.#identity && this.#device?.isRegistered();
    if (!isUsable && !this.#isInCall) await this.#open();
    this.#failures = 0;
    this.#schedule();
  }

  get #isWanted(): boolean {
    return this.#stopWatching !== undefined;
  }

  get #isInCall(): boolean {
    return hasActiveCall(this.#deps.getState());
  }

  get #lineName(): Line['name'] {
    return this.#deps.getState().line.name;
  }

  async #requestToken(): Promise<AccessToken> {
    this.#tabName ??= this.#deps.browser.claimTabName();
    return this.#deps.server.requestAccessToken(await this.#tabName);
  }

  /** Reports the browser to the server with the token in use. */
  #register() {
    if (this.#token) this.#registration.begin(this.#token.browser, this.#token.expiresAt);
  }

  /** Stops incoming calls, even if the page closes now. */
  #unregister() {
    this.#token = undefined;
    this.#registration.end();
  }

  #onRegistered() {
    if (!this.#isWanted || !this.#device?.isRegistered()) return;
    this.#deps.dispatch({ type: 'registered' });
    this.#schedule();
  }

  #onRegistrationFailed(thrown: unknown) {
    this.#deps.server.noteSignedOut(thrown);
    if (this.#lineName === 'going-online') this.goOffline(toPhoneError(thrown));
    else if (thrown instanceof ApiError && thrown.code === 'pass_over') this.renewToken();
  }

  /** Opens a device in place of the present one. */
  async #open() {
    this.#generation += 1;
    const generation = this.#generation;
    const isCurrent = () => generation === this.#generation;
    const previous = this.#device;
    this.#device = undefined;
    previous?.destroy();
    const { createDevice, incoming, dispatch, speaker } = this.#deps;
    this.#identity = this.#token?.identity;
    const { token = '', edge = null } = this.#token ?? {};
    const device = await openDevice(createDevice, token, edge, {
      onRegistered: () => {
        if (!isCurrent()) return;
        this.#failures = 0;
        this.#register();
      },
      onUnregistered: () => {
        if (!isCurrent()) return;
        dispatch({ type: 'connection-lost', error: null });
        this.#schedule();
      },
      onError: (error) => {
        if (isCurrent()) this.#onDeviceError(error);
      },
      onIncoming: (call) => {
        if (isCurrent()) incoming.add(call);
      },
    });
    if (!isCurrent()) {
      device.destroy();
      return;
    }
    this.#device = device;
    void device.setSpeaker(speaker()).catch(() => undefined);
  }

  #onDeviceError(error: PhoneError) {
    if (this.#lineName === 'going-online') {
      // The SDK retries a lost connection by itself until the timer fires.
      if (error.cause !== 'no-line') this.goOffline(error);
      return;
    }
    this.#deps.dispatch({ type: 'connection-lost', error });
    if (needsToken(error)) {
      this.#token = undefined;
      this.#schedule(backoffMs(this.#failures + 1, this.#deps.chance()));
    } else this.#schedule();
  }

  /** Schedules the maintenance: soon while the connection is lost, else when the token is due. */
  #schedule(inMs?: number) {
    clearTimeout(this.#timer);
    if (!this.#isWanted) return;
    const due = this.#token ? refreshDueInMs(this.#token, Date.now(), this.#isInCall) : 0;
    const ms = this.#lineName === 'online' ? due : RECONNECTS_WITHIN_MS;
    this.#timer = setTimeout(() => void this.maintain(), inMs ?? ms);
  }

  /** Watches what matters while the phone is online. */
  #watch(): Stop {
    const { incoming, watchEnvironment, holdLiveLink } = this.#deps;
    const stopEnvironment = watchEnvironment({
      onSuspend: () => this.#unregister(),
      onWake: () => {
        if (this.#lineName !== 'going-online') void this.maintain();
      },
      onMicrophone: (deviceId) => {
        if (this.#isInCall) void this.#device?.setMicrophone(deviceId).catch(() => undefined);
      },
      onSpeaker: (deviceId) => void this.#device?.setSpeaker(deviceId).catch(() => undefined),
    });
    const stopTabs = incoming.watchTabs();
    // A server that restarted may not know this browser any more.
    const stopLink = holdLiveLink(() => this.#registration.repeat());
    return () => {
      stopEnvironment();
      stopTabs();
      stopLink();
    };
  }
}
