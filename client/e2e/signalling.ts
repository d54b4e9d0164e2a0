/**
 * A fake of the Twilio signalling that the Voice SDK uses: a local server that the browser resolves
 * as `voice-js.roaming.twilio.com`. The page, its policy and the SDK are the shipped ones. The tests
 * control the calls.
 */
import { execFileSync } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type WebSocket, WebSocketServer } from 'ws';

const HOST = 'voice-js.roaming.twilio.com';

/** The SDK considers a connection dead after 15 s of silence. */
const HEARTBEAT_EVERY_MS = 5_000;

const VERSION = '1.6';

/** A JSON message in either direction. */
interface Message {
  type: string;
  payload: Payload;
}

interface Payload {
  callsid?: string;
  sdp?: string;
  token?: string;
  dtmf?: string;
  reconnect?: string;
  media?: { audio?: boolean };
  twilio?: { params?: string };
}

/** A connected browser. */
interface Browser {
  socket: WebSocket;
  identity: string;
  registered: boolean;
}

/** The events that a leg receives from its browser. */
type LegWord = 'answer' | 'reject' | 'hangup' | 'dtmf' | 'rejoined';

/** One call to or from a browser. */
export class Leg {
  /** The parameters of an outgoing call. */
  readonly params: URLSearchParams;
  /** The SDP of the browser: an offer or an answer. */
  sdp: string;
  digits = '';
  readonly identity: string;
  readonly callSid: string;
  readonly #signalling: Signalling;
  readonly #heard = new EventEmitter();
  readonly #words = new Set<LegWord>();
  /** The id that the browser uses: its own until it learns the SID. */
  #name: string;

  constructor(
    signalling: Signalling,
    identity: string,
    { callSid, name = callSid }: { callSid: string; name?: string },
    sdp: string,
    params: URLSearchParams,
  ) {
    this.#name = name;
    this.#signalling = signalling;
    this.identity = identity;
    this.callSid = callSid;
    this.sdp = sdp;
    this.params = params;
  }

  ring() {
    this.#name = this.callSid;
    this.#send('ringing', {});
  }

  answer(sdp: string) {
    this.#name = this.callSid;
    this.#send('answer', { sdp, reconnect: `rejoin-${this.callSid}` });
  }

  /** Ends the leg; `error` is the reason why the call failed. */
  hangUp(error?: { code: number; message: string }) {
    this.#send('hangup', error ? { error } : {});
  }

  /** Stops the ringing. */
  cancel() {
    this.#send('cancel', {});
  }

  /** Resolves once the browser has sent the event. */
  async heard(word: LegWord): Promise<void> {
    if (!this.#words.has(word)) await once(this.#heard, word);
  }

  /** @internal */
  hear(word: LegWord, { sdp, dtmf }: Payload) {
    if (sdp && word === 'answer') this.sdp = sdp;
    if (dtmf) this.digits += dtmf;
    this.#words.add(word);
    this.#heard.emit(word);
  }

  #send(type: string, payload: object) {
    this.#signalling.send(this.identity, type, { callsid: this.#name, ...payload });
  }
}

export class Signalling {
  /** Every token that a browser has sent, with its identity, the latest last. */
  readonly tokens: { identity: string; token: string }[] = [];
  readonly port: number;
  readonly #server: Server;
  readonly #browsers = new Set<Browser>();
  readonly #legs = new Map<string, Leg>();
  readonly #events = new EventEmitter();
  readonly #dialled: Leg[] = [];
  #isDown = false;
  #calls = 0;

  constructor(server: Server, port: number) {
    this.#server = server;
    this.port = port;
    const sockets = new WebSocketServer({ noServer: true });
    server.on('upgrade', (request, stream, head) => {
      if (this.#isDown) stream.destroy();
      else sockets.handleUpgrade(request, stream, head, (socket) => this.#connect(socket));
    });
  }

  /** The browser arguments that resolve Twilio to this server and block everything else. */
  get browserArgs(): string[] {
    const rules = [
      `MAP voice-js.*.twilio.com 127.0.0.1:${this.port}`,
      'MAP *.twilio.com ~NOTFOUND',
    ];
    return [`--host-resolver-rules=${rules.join(',')}`, '--ignore-certificate-errors'];
  }

  /** The next outgoing call of a browser. */
  async dialled(): Promise<Leg> {
    const waiting = this.#dialled.shift();
    if (waiting) return waiting;
    await once(this.#events, 'dialled');
    return this.dialled();
  }

  /** Whether there is no outgoing call that the test has not taken. */
  get isQuiet(): boolean {
    return this.#dialled.length === 0;
  }

  /** The registered browsers. */
  get registered(): string[] {
    return [...this.#browsers].filter((one) => one.registered).map(({ identity }) => identity);
  }

  /** Resolves once that many browsers are registered. */
  async registers(count: number): Promise<void> {
    while (this.registered.length !== count) await once(this.#events, 'registered');
  }

  /** Resolves once a browser has sent more than that many tokens. */
  async hearsTokens(count: number): Promise<void> {
    while (this.tokens.length < count) await once(this.#events, 'token');
  }

  /** Rings at a browser. */
  invite(identity: string, from: string, sdp: string, parameters: Record<string, string>): Leg {
    const leg = this.#leg(identity, sdp, new URLSearchParams());
    const Params = new URLSearchParams(parameters).toString();
    const told = { From: from, To: `client:${identity}`, CallSid: leg.callSid, Params };
    this.send(identity, 'invite', { callsid: leg.callSid, sdp, parameters: told });
    return leg;
  }

  send(identity: string, type: string, payload: object) {
    for (const browser of this.#browsers)
      if (browser.identity === identity) say(browser.socket, type, payload);
  }

  /** Closes all connections, and refuses new ones until `up`. */
  down() {
    this.#isDown = true;
    for (const { socket } of this.#browsers) socket.terminate();
  }

  up() {
    this.#isDown = false;
  }

  close() {
    this.down();
    this.#server.close();
  }

  #connect(socket: WebSocket) {
    const browser: Browser = { socket, identity: '', registered: false };
    this.#browsers.add(browser);
    const heartbeat = setInterval(() => socket.send('\n'), HEARTBEAT_EVERY_MS);
    socket.on('message', (data) => {
      const text = String(data);
      if (text.trim() !== '') this.#hear(browser, JSON.parse(text));
    });
    socket.on('close', () => {
      clearInterval(heartbeat);
      this.#browsers.delete(browser);
      this.#events.emit('registered');
    });
  }

  #hear(browser: Browser, { type, payload }: Message) {
    switch (type) {
      case 'listen':
        return this.#listen(browser, payload.token ?? '');
      case 'register':
        browser.registered = payload.media?.audio === true;
        say(browser.socket, browser.registered ? 'ready' : 'offline', {});
        this.#events.emit('registered');
        return;
      case 'invite':
        return this.#invited(browser, payload);
      case 'answer':
      case 'reject':
      case 'hangup':
      case 'dtmf':
        this.#legs.get(payload.callsid ?? '')?.hear(type, payload);
        return;
      default:
    }
  }

  #listen(browser: Browser, token: string) {
    const [, claims = ''] = token.split('.');
    const { grants } = JSON.parse(Buffer.from(claims, 'base64url').toString());
    browser.identity = grants.identity;
    this.tokens.push({ identity: browser.identity, token });
    const told = { identity: browser.identity, ttl: 3_600 };
    say(browser.socket, 'connected', {
      // The SDK rejoins a call at this edge, by its id.
      edge: 'ashburn',
      gateway: 'none',
      home: 'us1',
      region: 'us1',
      token: told,
    });
    this.#events.emit('token');
  }

  #invited({ identity, socket }: Browser, { callsid = '', sdp = '', reconnect, twilio }: Payload) {
    const known = this.#legs.get(callsid);
    if (reconnect && known) {
      say(socket, 'answer', { callsid, reconnect });
      known.hear('rejoined', {});
      return;
    }
    const leg = this.#leg(identity, sdp, new URLSearchParams(twilio?.params), callsid);
    this.#legs.set(callsid, leg);
    this.#dialled.push(leg);
    this.#events.emit('dialled');
  }

  #leg(identity: string, sdp: string, params: URLSearchParams, name?: string): Leg {
    const callSid = this.newCallSid();
    const leg = new Leg(this, identity, { callSid, ...(name && { name }) }, sdp, params);
    this.#legs.set(leg.callSid, leg);
    return leg;
  }

  newCallSid(): string {
    this.#calls += 1;
    return `CA${this.#calls.toString(16).padStart(32, '0')}`;
  }
}

const say = (socket: WebSocket, type: string, payload: object) =>
  socket.send(JSON.stringify({ type, version: VERSION, payload }));

/** Starts it on a free port, with a temporary certificate. */
export async function openSignalling(): Promise<Signalling> {
  const folder = mkdtempSync(join(tmpdir(), 'callburner-signalling-'));
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1'];
  const subject = ['-subj', `/CN=${HOST}`, '-addext', `subjectAltName=DNS:${HOST}`];
  execFileSync('openssl', [...request, ...subject, '-keyout', key, '-out', cert], {
    stdio: 'ignore',
  });
  const server = createServer({ key: readFileSync(key), cert: readFileSync(cert) });
  rmSync(folder, { recursive: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port is free');
  return new Signalling(server, address.port);
}
