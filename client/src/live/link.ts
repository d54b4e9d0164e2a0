/**
 * The WebSocket of the page to the server, shared by all calls that the page listens to. It
 * reconnects automatically, and resumes each call after the last event that arrived. `call.ts`
 * interprets the events.
 */
import type { CallEvent, ListenerReply, ListenerRequest } from '../api/types';
import { backoffMs } from './backoff';

/** A ping is sent after this long without a message, to detect a dead connection. */
export const PING_EVERY_MS = 20_000;

/** The connection is dead if a ping has no reply within this time. */
export const PONG_WITHIN_MS = 5_000;

/** An attempt to connect fails after this time: some networks drop packets silently. */
export const OPEN_WITHIN_MS = 10_000;

/** How often a refused subscription is retried: the server may not know a new call yet. */
export const REFUSALS_MAX = 4;

/** The backoff starts again after a connection that lasted this long. */
export const STEADY_AFTER_MS = 10_000;

/**
 * `waiting`: the connection was lost or failed, and is retried after a wait. `signed-out`: the server
 * rejected the session, and there is no automatic retry.
 */
export type LinkState = 'idle' | 'connecting' | 'open' | 'waiting' | 'signed-out';

/** The position after which the events of a call resume. */
export interface ResumePoint {
  offset: number;
  epoch: number;
}

/** The environment of the link, and its callbacks. */
export interface LinkOptions {
  /** The address of the socket, called at each attempt. */
  url: () => string;
  open: (url: string) => WebSocket;
  /** Where a call resumes; undefined: at its beginning. */
  resumePointOf: (callSid: string) => ResumePoint | undefined;
  onEvent: (event: CallEvent) => void;
  /** Called when all retries were refused: there is no such call, or it is another user's. */
  onRefusal: (callSid: string, code: string, message: string) => void;
  onState: (state: LinkState) => void;
  /** Returns a random number from 0 to 1. */
  random: () => number;
}

/** The close code of the server for a session that is not, or no longer, valid. */
const POLICY_VIOLATION = 1008;

export class Link {
  readonly #options: LinkOptions;
  /** The calls, each with the number of its refusals. */
  readonly #refusals = new Map<string, number>();
  /** The socket stays open without calls, too. */
  #isHeld = false;
  /** The timers of the refused calls that are retried. */
  readonly #retries = new Map<string, ReturnType<typeof setTimeout>>();
  #state: LinkState = 'idle';
  #socket: WebSocket | undefined;
  #failures = 0;
  #reconnect: ReturnType<typeof setTimeout> | undefined;
  #heartbeat: ReturnType<typeof setTimeout> | undefined;
  #steady: ReturnType<typeof setTimeout> | undefined;
  #opening: ReturnType<typeof setTimeout> | undefined;

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  /** Subscribes to a call, or subscribes again. */
  listen(callSid: string) {
    this.#refusals.set(callSid, 0);
    if (this.#state === 'open') this.#subscribe(callSid);
    else if (this.#state === 'idle' || this.#state === 'signed-out') this.#connect();
  }

  /** Keeps the socket open without calls, so that `onState` reports when the server is back. */
  hold() {
    this.#isHeld = true;
    if (this.#state === 'idle' || this.#state === 'signed-out') this.#connect();
  }

  /** Undoes `hold`: the socket closes when there is no call. */
  release() {
    this.#isHeld = false;
    if (this.#refusals.size === 0) this.close();
  }

  /** Unsubscribes from a call; the socket closes after the last one, unless it is held. */
  forget(callSid: string) {
    if (!this.#refusals.delete(callSid)) return;
    this.#clearRetry(callSid);
    if (this.#refusals.size === 0 && !this.#isHeld) this.close();
    else if (this.#state === 'open') this.#send({ type: 'unsubscribe', callSid });
  }

  /**
   * Tests an open connection, and ends a wait. Call it when the machine wakes, the network is back
   * or the tab becomes visible.
   */
  wake() {
    switch (this.#state) {
      case 'open':
        this.#ping();
        break;
      case 'waiting':
      case 'signed-out':
        this.#connect();
        break;
      case 'connecting':
      case 'idle':
        break;
      default:
        this.#state satisfies never;
    }
  }

  /** Reconnects after a wait if the session, though rejected, is valid after all. */
  retrySignedOut() {
    if (this.#state === 'signed-out') this.#waitAndConnect();
  }

  /** Closes the socket, and forgets all calls. */
  close() {
    this.#drop();
    for (const callSid of [...this.#refusals.keys()]) this.#clearRetry(callSid);
    this.#refusals.clear();
    this.#isHeld = false;
    this.#failures = 0;
    this.#setState('idle');
  }

  #connect() {
    this.#drop();
    this.#setState('connecting');
    const socket = this.#options.open(this.#options.url());
    this.#socket = socket;
    this.#opening = setTimeout(() => this.#lost(), OPEN_WITHIN_MS);
    socket.onopen = () => {
      clearTimeout(this.#opening);
      this.#setState('open');
      this.#steady = setTimeout(() => {
        this.#failures = 0;
      }, STEADY_AFTER_MS);
      for (const callSid of this.#refusals.keys()) this.#subscribe(callSid);
      this.#schedulePing();
    };
    socket.onmessage = (message) => {
      this.#schedulePing();
      this.#onMessage(message.data);
    };
    socket.onclose = (event) => {
      if (event.code === POLICY_VIOLATION) this.#rejected();
      else this.#lost();
    };
  }

  #onMessage(text: unknown) {
    const message = parse(text);
    if (!message) return;
    switch (message.type) {
      case 'pong':
      // Only subscriptions by the SID of a leg get this reply; the page never makes one.
      case 'leg':
        return;
      case 'error':
        if (message.callSid)
          this.#refuse(message.callSid, message.error.code, message.error.message);
        return;
      default:
        // The last events may still arrive after an unsubscribe.
        if (!this.#refusals.has(message.callSid)) return;
        this.#refusals.set(message.callSid, 0);
        this.#options.onEvent(message);
    }
  }

  #refuse(callSid: string, code: string, message: string) {
    const refusals = this.#refusals.get(callSid);
    if (refusals === undefined) return;
    if (refusals >= REFUSALS_MAX) {
      this.#options.onRefusal(callSid, code, message);
      return;
    }
    this.#clearRetry(callSid);
    this.#refusals.set(callSid, refusals + 1);
    const retry = () => {
      this.#retries.delete(callSid);
      if (this.#state === 'open') this.#subscribe(callSid);
    };
    this.#retries.set(callSid, setTimeout(retry, backoffMs(refusals + 1, this.#options.random())));
  }

  #clearRetry(callSid: string) {
    clearTimeout(this.#retries.get(callSid));
    this.#retries.delete(callSid);
  }

  #rejected() {
    this.#drop();
    this.#setState('signed-out');
  }

  #lost() {
    this.#drop();
    this.#waitAndConnect();
  }

  #waitAndConnect() {
    this.#failures += 1;
    this.#reconnect = setTimeout(
      () => this.#connect(),
      backoffMs(this.#failures, this.#options.random()),
    );
    this.#setState('waiting');
  }

  #subscribe(callSid: string) {
    this.#clearRetry(callSid);
    this.#send({ type: 'subscribe', callSid, ...this.#options.resumePointOf(callSid) });
  }

  #send(request: ListenerRequest) {
    this.#socket?.send(JSON.stringify(request));
  }

  /** Postpones the ping after each message. */
  #schedulePing() {
    clearTimeout(this.#heartbeat);
    this.#heartbeat = setTimeout(() => this.#ping(), PING_EVERY_MS);
  }

  #ping() {
    clearTimeout(this.#heartbeat);
    this.#send({ type: 'ping' });
    this.#heartbeat = setTimeout(() => this.#lost(), PONG_WITHIN_MS);
  }

  /** Closes the socket, and clears its timers. */
  #drop() {
    clearTimeout(this.#reconnect);
    clearTimeout(this.#heartbeat);
    clearTimeout(this.#steady);
    clearTimeout(this.#opening);
    const socket = this.#socket;
    this.#socket = undefined;
    if (!socket) return;
    socket.onopen = null;
    socket.onmessage = null;
    socket.onclose = null;
    socket.close();
  }

  #setState(state: LinkState) {
    if (this.#state === state) return;
    this.#state = state;
    this.#options.onState(state);
  }
}

/** Parses a message; undefined if it is not one of the protocol. */
function parse(text: unknown): CallEvent | ListenerReply | undefined {
  if (typeof text !== 'string') return undefined;
  try {
    const message: unknown = JSON.parse(text);
    return isMessage(message) ? message : undefined;
  } catch {
    return undefined;
  }
}

/** Checks no more than this: the tests of client and server read the same `fixtures/live/`. */
const isMessage = (value: unknown): value is CallEvent | ListenerReply =>
  typeof value === 'object' && value !== null && 'type' in value;
