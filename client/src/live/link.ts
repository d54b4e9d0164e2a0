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

/** A line that has been up for this long was a good one: the next wait is the first again. */
export const STEADY_AFTER_MS = 10_000;

/** `signed-out`: the server wants nobody of this session; it is not tried again by itself. */
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
  /** A request that was not met: a call that is not there, or not this user's. */
  onRefusal: (callSid: string | undefined, code: string, message: string) => void;
  onState: (state: LinkState) => void;
  /** 0 to 1. */
  chance: () => number;
}

/** The server's word for: you are not, or no longer, signed in. */
const POLICY_VIOLATION = 1008;

export class Link {
  readonly #options: LinkOptions;
  readonly #wanted = new Set<string>();
  #state: LinkState = 'idle';
  #socket: WebSocket | undefined;
  #failures = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #heartbeat: ReturnType<typeof setTimeout> | undefined;
  #steady: ReturnType<typeof setTimeout> | undefined;

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  /** Begins to listen to a call, or begins there again. */
  listen(callSid: string) {
    this.#wanted.add(callSid);
    if (this.#state === 'open') this.#subscribe(callSid);
    else if (this.#state === 'idle') this.#connect();
  }

  /** Listens to a call no more; without calls the socket closes. */
  forget(callSid: string) {
    if (!this.#wanted.delete(callSid)) return;
    if (this.#wanted.size === 0) this.close();
    else if (this.#state === 'open') this.#send({ type: 'unsubscribe', callSid });
  }

  /**
   * The machine woke, the network is back, or someone looks: a dead line is found at once, and a
   * wait ends.
   */
  wake() {
    if (this.#state === 'open') this.#ping();
    else if (this.#state === 'waiting' || (this.#state === 'signed-out' && this.#wanted.size > 0))
      this.#connect();
  }

  /** Ends the socket, and stays idle until someone listens again. */
  close() {
    this.#drop();
    this.#wanted.clear();
    this.#failures = 0;
    this.#become('idle');
  }

  #connect() {
    this.#drop();
    this.#become('connecting');
    const socket = this.#options.open(this.#options.url());
    this.#socket = socket;
    socket.onopen = () => {
      this.#become('open');
      this.#steady = setTimeout(() => {
        this.#failures = 0;
      }, STEADY_AFTER_MS);
      for (const callSid of this.#wanted) this.#subscribe(callSid);
      this.#rest();
    };
    socket.onmessage = (message) => {
      this.#rest();
      this.#hear(message.data);
    };
    socket.onclose = (event) => this.#lost(event.code);
  }

  #hear(text: unknown) {
    if (typeof text !== 'string') return;
    let heard: CallEvent | ListenerReply;
    try {
      heard = JSON.parse(text);
    } catch {
      return;
    }
    // The page subscribes by the call's own name, never by a leg's.
    if (heard.type === 'pong' || heard.type === 'leg') return;
    if (heard.type === 'error')
      this.#options.onRefusal(heard.callSid ?? undefined, heard.error.code, heard.error.message);
    else this.#options.onEvent(heard);
  }

  #lost(code: number) {
    this.#drop();
    if (code === POLICY_VIOLATION) {
      this.#become('signed-out');
      return;
    }
    this.#failures += 1;
    this.#become('waiting');
    this.#retry = setTimeout(() => this.#connect(), waitMs(this.#failures, this.#options.chance()));
  }

  #subscribe(callSid: string) {
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
    this.#heartbeat = setTimeout(() => this.#lost(0), PONG_WITHIN_MS);
  }

  /** Lets go of the socket and of everything that is timed. */
  #drop() {
    clearTimeout(this.#retry);
    clearTimeout(this.#heartbeat);
    clearTimeout(this.#steady);
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
