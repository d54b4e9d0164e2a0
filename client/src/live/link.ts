/**
 * The page's one WebSocket to the server, for every call that it listens to. It comes back by
 * itself, and asks for what was missed meanwhile. Decides when; what the events mean is
 * `call.ts`'s.
 */
import type { CallEvent, ListenerReply, ListenerRequest } from '../api/types';
import { waitMs } from './backoff';

/** Silence is broken after this long, so that a dead line is found. */
export const PING_EVERY_MS = 20_000;

/** A ping that is not answered within this means that the line is dead. */
export const PONG_WITHIN_MS = 5_000;

/** A line that is not up within this long is given up: the network swallows what is sent. */
export const OPEN_WITHIN_MS = 10_000;

/** How often a call is asked for anew that was refused: one just placed may not be known yet. */
export const REFUSALS_MAX = 4;

/** A line that has been up for this long was a good one: the next wait is the first again. */
export const STEADY_AFTER_MS = 10_000;

/**
 * `waiting`: the line was lost or did not come up, and is tried again in a while. `signed-out`: the
 * server wants nobody of this session; it is not tried again by itself.
 */
export type LinkState = 'idle' | 'connecting' | 'open' | 'waiting' | 'signed-out';

/** Where a listener of a call stopped. */
export interface Place {
  offset: number;
  epoch: number;
}

/** What the link needs, and whom it tells. */
export interface LinkOptions {
  /** The socket's address, asked for at each attempt. */
  url: () => string;
  open: (url: string) => WebSocket;
  /** Where to go on with a call; undefined: from its beginning. */
  placeOf: (callSid: string) => Place | undefined;
  onEvent: (event: CallEvent) => void;
  /** A request that was not met again and again: a call that is not there, or not this user's. */
  onRefusal: (callSid: string, code: string, message: string) => void;
  onState: (state: LinkState) => void;
  /** 0 to 1. */
  chance: () => number;
}

/** The server's word for: you are not, or no longer, signed in. */
const POLICY_VIOLATION = 1008;

export class Link {
  readonly #options: LinkOptions;
  /** The calls, and how often each was refused. */
  readonly #wanted = new Map<string, number>();
  /** Whether the socket is wanted without calls, too. */
  #isHeld = false;
  /** Calls that are asked for anew in a while. */
  readonly #refused = new Map<string, ReturnType<typeof setTimeout>>();
  #state: LinkState = 'idle';
  #socket: WebSocket | undefined;
  #failures = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #heartbeat: ReturnType<typeof setTimeout> | undefined;
  #steady: ReturnType<typeof setTimeout> | undefined;
  #opening: ReturnType<typeof setTimeout> | undefined;

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  /** Begins to listen to a call, or begins there again. */
  listen(callSid: string) {
    this.#wanted.set(callSid, 0);
    if (this.#state === 'open') this.#subscribe(callSid);
    else if (this.#state === 'idle' || this.#state === 'signed-out') this.#connect();
  }

  /** Keeps the socket open, also while there is no call: `onState` tells when the server is back. */
  hold() {
    this.#isHeld = true;
    if (this.#state === 'idle' || this.#state === 'signed-out') this.#connect();
  }

  /** Without calls the socket closes from now on. */
  release() {
    this.#isHeld = false;
    if (this.#wanted.size === 0) this.close();
  }

  /** Listens to a call no more; without calls the socket closes, unless it is held. */
  forget(callSid: string) {
    if (!this.#wanted.delete(callSid)) return;
    this.#forgetRefusal(callSid);
    if (this.#wanted.size === 0 && !this.#isHeld) this.close();
    else if (this.#state === 'open') this.#send({ type: 'unsubscribe', callSid });
  }

  /**
   * The machine woke, the network is back, or someone looks: a dead line is found at once, and a
   * wait ends.
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

  /** The session is good after all: whoever was sent away comes back, in a while. */
  comeBack() {
    if (this.#state === 'signed-out') this.#waitAndConnect();
  }

  /** Ends the socket, and stays idle until someone listens or holds it again. */
  close() {
    this.#drop();
    for (const callSid of [...this.#wanted.keys()]) this.#forgetRefusal(callSid);
    this.#wanted.clear();
    this.#isHeld = false;
    this.#failures = 0;
    this.#become('idle');
  }

  #connect() {
    this.#drop();
    this.#become('connecting');
    const socket = this.#options.open(this.#options.url());
    this.#socket = socket;
    this.#opening = setTimeout(() => this.#lost(), OPEN_WITHIN_MS);
    socket.onopen = () => {
      clearTimeout(this.#opening);
      this.#become('open');
      this.#steady = setTimeout(() => {
        this.#failures = 0;
      }, STEADY_AFTER_MS);
      for (const callSid of this.#wanted.keys()) this.#subscribe(callSid);
      this.#rest();
    };
    socket.onmessage = (message) => {
      this.#rest();
      this.#hear(message.data);
    };
    socket.onclose = (event) => {
      if (event.code === POLICY_VIOLATION) this.#sentAway();
      else this.#lost();
    };
  }

  #hear(text: unknown) {
    const heard = parse(text);
    if (!heard) return;
    switch (heard.type) {
      case 'pong':
      // The page subscribes by the call's own name, never by a leg's.
      case 'leg':
        return;
      case 'error':
        if (heard.callSid) this.#refuse(heard.callSid, heard.error.code, heard.error.message);
        return;
      default:
        // The last of a call that was let go may be on its way still.
        if (!this.#wanted.has(heard.callSid)) return;
        this.#wanted.set(heard.callSid, 0);
        this.#options.onEvent(heard);
    }
  }

  #refuse(callSid: string, code: string, message: string) {
    const refusals = this.#wanted.get(callSid);
    if (refusals === undefined) return;
    if (refusals >= REFUSALS_MAX) {
      this.#options.onRefusal(callSid, code, message);
      return;
    }
    this.#forgetRefusal(callSid);
    this.#wanted.set(callSid, refusals + 1);
    const again = () => {
      this.#refused.delete(callSid);
      if (this.#state === 'open') this.#subscribe(callSid);
    };
    this.#refused.set(callSid, setTimeout(again, waitMs(refusals + 1, this.#options.chance())));
  }

  #forgetRefusal(callSid: string) {
    clearTimeout(this.#refused.get(callSid));
    this.#refused.delete(callSid);
  }

  #sentAway() {
    this.#drop();
    this.#become('signed-out');
  }

  #lost() {
    this.#drop();
    this.#waitAndConnect();
  }

  #waitAndConnect() {
    this.#failures += 1;
    this.#retry = setTimeout(() => this.#connect(), waitMs(this.#failures, this.#options.chance()));
    this.#become('waiting');
  }

  #subscribe(callSid: string) {
    this.#forgetRefusal(callSid);
    const place = this.#options.placeOf(callSid);
    this.#send({ type: 'subscribe', callSid, ...place });
  }

  #send(request: ListenerRequest) {
    this.#socket?.send(JSON.stringify(request));
  }

  /** Something was heard: the next ping is due after a silence. */
  #rest() {
    clearTimeout(this.#heartbeat);
    this.#heartbeat = setTimeout(() => this.#ping(), PING_EVERY_MS);
  }

  #ping() {
    clearTimeout(this.#heartbeat);
    this.#send({ type: 'ping' });
    this.#heartbeat = setTimeout(() => this.#lost(), PONG_WITHIN_MS);
  }

  /** Lets go of the socket and of everything that is timed. */
  #drop() {
    clearTimeout(this.#retry);
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

  #become(state: LinkState) {
    if (this.#state === state) return;
    this.#state = state;
    this.#options.onState(state);
  }
}

/** What the server wrote; undefined if it is nothing that it writes. */
function parse(text: unknown): CallEvent | ListenerReply | undefined {
  if (typeof text !== 'string') return undefined;
  try {
    const heard: unknown = JSON.parse(text);
    return isMessage(heard) ? heard : undefined;
  } catch {
    return undefined;
  }
}

/** The rest is the contract's word: both sides' tests read the same stories. */
const isMessage = (heard: unknown): heard is CallEvent | ListenerReply =>
  typeof heard === 'object' && heard !== null && 'type' in heard;
