/**
 * Twilio's signalling, as far as the Voice SDK knows it: a server of this machine that the browser
 * takes for `voice-js.roaming.twilio.com`. The page, its policy and the SDK are the shipped ones;
 * only the name leads elsewhere. Calls do here what a test says.
 */
import { execFileSync } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type WebSocket, WebSocketServer } from 'ws';

const HOST = 'voice-js.roaming.twilio.com';

/** The SDK takes a line for dead after 15 s of silence. */
const HEARTBEAT_EVERY_MS = 5_000;

const VERSION = '1.6';

/** A line of JSON, either way. */
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

/** A browser that is connected. */
interface Browser {
  socket: WebSocket;
  identity: string;
  registered: boolean;
}

/** What a leg heard of its browser: the names of events to wait for. */
type LegWord = 'answer' | 'reject' | 'hangup' | 'dtmf' | 'rejoined';

/** One call to or from a browser. */
export class Leg {
  /** Of a call that the browser makes: what it asked for. */
  readonly params: URLSearchParams;
  /** What the browser wants to be connected to, or answered with. */
  sdp: string;
  digits = '';
  readonly identity: string;
  readonly callSid: string;
  readonly #signalling: Signalling;
  readonly #heard = new EventEmitter();
  readonly #words = new Set<LegWord>();
  /** What the browser knows it by: a name of its own until it is told better. */
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

  /** The other end hangs up, or `error` says why it never came to a call. */
  hangUp(error?: { code: number; message: string }) {
    this.#send('hangup', error ? { error } : {});
  }

  /** It rings there no more. */
  cancel() {
    this.#send('cancel', {});
  }

  /** Resolves once the browser has said so. */
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
  /** Every token that a browser said, with its identity, the latest last. */
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

  /** What a browser has to be started with, to take this for Twilio and to reach nothing else. */
  get browserArgs(): string[] {
    const rules = [`MAP ${HOST} 127.0.0.1:${this.port}`, 'MAP *.twilio.com ~NOTFOUND'];
    return [`--host-resolver-rules=${rules.join(',')}`, '--ignore-certificate-errors'];
  }

  /** The next call that a browser makes. */
  async dialled(): Promise<Leg> {
    const waiting = this.#dialled.shift();
    if (waiting) return waiting;
    await once(this.#events, 'dialled');
    return this.dialled();
  }

  /** Whether nobody has called without being asked about by the test. */
  get isQuiet(): boolean {
    return this.#dialled.length === 0;
  }

  /** Those that can be called. */
  get registered(): string[] {
    return [...this.#browsers].filter((one) => one.registered).map(({ identity }) => identity);
  }

  /** Resolves once that many browsers can be called. */
  async registers(count: number): Promise<void> {
    while (this.registered.length !== count) await once(this.#events, 'registered');
  }

  /** Resolves once a browser has said another token than these many. */
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

  /** All lines break, and none can be had until `up`. */
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
      edge: 'roaming',
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

/** Opens it on a port of its own, with a certificate that is thrown away at once. */
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
