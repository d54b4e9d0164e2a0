/**
 * Stands in for the Voice SDK, the server and the browser in the tests of the phone. The fake device
 * and the fake calls record what the phone calls, and emit the SDK's events.
 */
import { EventEmitter } from 'node:events';
import { vi } from 'vitest';
import type { CallStatus } from '../api/types';
import type { AccessToken } from './accessToken';
import type { MediaOptions, SdkAudio, SdkCall, SdkDevice } from './device';
import type { EnvironmentHandlers } from './environment';
import { Phone, type PhoneDeps } from './phone';
import type { PhoneServer } from './server';
import type { Channel } from './tabChannel';

/** Lets everything that does not wait for time happen. */
export const settle = () => vi.advanceTimersByTimeAsync(0);

/** A promise that the test settles. */
export class Deferred<T> {
  resolve: (value: T) => void = () => {};
  reject: (thrown: unknown) => void = () => {};
  readonly promise = new Promise<T>((resolve, reject) => {
    this.resolve = resolve;
    this.reject = reject;
  });
}

/** A call of the SDK. */
export class FakeCall extends EventEmitter implements SdkCall {
  /** The methods that the phone called, with their arguments. */
  readonly calls: string[] = [];
  readonly parameters: Record<string, string>;
  readonly customParameters: Map<string, string>;
  readonly direction: string;

  constructor(
    direction: 'INCOMING' | 'OUTGOING',
    parameters: Record<string, string> = {},
    customParameters: Record<string, string> = {},
  ) {
    super();
    this.direction = direction;
    this.parameters = parameters;
    this.customParameters = new Map(Object.entries(customParameters));
  }

  accept(options: MediaOptions) {
    this.calls.push(`accept ${options.rtcConstraints?.audio.deviceId ?? 'default'}`);
  }
  /** Ends at once, as the SDK does. */
  reject() {
    this.calls.push('reject');
    this.emit('reject');
  }
  ignore() {
    this.calls.push('ignore');
  }
  /** Ends at once, as the SDK does. */
  disconnect() {
    this.calls.push('disconnect');
    this.emit('disconnect');
  }
  mute(muted: boolean) {
    this.calls.push(`mute ${muted}`);
    this.emit('mute', muted);
  }
  sendDigits(digits: string) {
    this.calls.push(`sendDigits ${digits}`);
  }
}

/** A device of the SDK. */
export class FakeDevice extends EventEmitter implements SdkDevice {
  /** The methods that the phone called, with their arguments. */
  readonly calls: string[] = [];
  readonly token: string;
  readonly options: object;
  state = 'unregistered';
  /** Answers the `connect` that is on its way. */
  connecting = new Deferred<SdkCall>();
  readonly audio: SdkAudio = {
    isOutputSelectionSupported: true,
    speakerDevices: { set: (deviceId) => this.#record(`setSpeaker ${deviceId}`) },
    setInputDevice: (deviceId) => this.#record(`setInputDevice ${deviceId}`),
    unsetInputDevice: () => this.#record('unsetInputDevice'),
  };

  constructor(token: string, options: object) {
    super();
    this.token = token;
    this.options = options;
  }

  register() {
    return this.#record('register');
  }
  updateToken(token: string) {
    this.calls.push(`updateToken ${token}`);
  }
  connect(options: MediaOptions & { params: Record<string, string> }) {
    const microphone = options.rtcConstraints?.audio.deviceId ?? 'default';
    this.calls.push(`connect ${options.params.To} ${microphone}`);
    this.connecting = new Deferred();
    return this.connecting.promise;
  }
  destroy() {
    this.calls.push('destroy');
    this.state = 'destroyed';
  }

  /** Twilio accepts the registration. */
  becomeRegistered() {
    this.state = 'registered';
    this.emit('registered');
  }
  /** The connection to Twilio breaks. */
  becomeUnregistered() {
    this.state = 'unregistered';
    this.emit('unregistered');
  }
  fail(code: number) {
    this.emit('error', Object.assign(new Error(), { code }));
  }
  ring(call: FakeCall) {
    this.emit('incoming', call);
  }

  #record(call: string): Promise<void> {
    this.calls.push(call);
    return Promise.resolve();
  }
}

/** A channel among tabs that the test is the other tab of. */
export class FakeChannel implements Channel {
  onmessage: Channel['onmessage'] = null;
  readonly sent: unknown[] = [];
  isClosed = false;

  postMessage(message: unknown) {
    this.sent.push(message);
  }
  close() {
    this.isClosed = true;
  }
  receive(data: unknown) {
    this.onmessage?.(new MessageEvent('message', { data }));
  }
}

export const TOKEN_LIFE_MS = 3_600_000;

/** The end of a token that was received now. */
export const endOfToken = () => new Date(Date.now() + TOKEN_LIFE_MS).toISOString();

/** A token that was received now; each has its own name. */
export const accessToken = (token: string, identity = 'user.tab'): AccessToken => ({
  token,
  identity,
  edge: null,
  browser: 'tab',
  expiresAt: endOfToken(),
  receivedAtMs: Date.now(),
  lifeMs: TOKEN_LIFE_MS,
});

/** The server: it accepts everything, unless a test makes it answer otherwise. */
function fakeServer() {
  let tokens = 0;
  return {
    requestAccessToken: vi.fn<PhoneServer['requestAccessToken']>(async () => {
      tokens += 1;
      return accessToken(`token-${tokens}`);
    }),
    register: vi.fn<PhoneServer['register']>(async () => undefined),
    unregister: vi.fn<PhoneServer['unregister']>(async () => undefined),
    confirmAnswered: vi.fn<PhoneServer['confirmAnswered']>(async (sid) => sid),
    noteSignedOut: vi.fn<PhoneServer['noteSignedOut']>(),
    refreshCall: vi.fn<PhoneServer['refreshCall']>(),
    refreshCalls: vi.fn<PhoneServer['refreshCalls']>(),
  };
}

/** The live view of calls: the test sets their statuses. */
export class FakeLive {
  readonly #statuses = new Map<string, CallStatus>();
  readonly #listeners = new Map<() => void, string>();
  readonly askedAgain: string[] = [];
  /** Reports that the live connection opened; undefined while the phone does not hold it. */
  open: (() => void) | undefined;

  statusOf = (sid: string) => this.#statuses.get(sid) ?? null;
  follow = (sid: string, onChange: () => void) => {
    this.#listeners.set(onChange, sid);
    return () => void this.#listeners.delete(onChange);
  };
  listenAgain = (sid: string) => void this.askedAgain.push(sid);
  hold = (onOpen: () => void) => {
    this.open = onOpen;
    return () => {
      this.open = undefined;
    };
  };

  /** The calls that the phone follows. */
  get followed(): string[] {
    return [...this.#listeners.values()];
  }
  setStatus(sid: string, status: CallStatus) {
    this.#statuses.set(sid, status);
    for (const onChange of this.#listeners.keys()) onChange();
  }
}

/** Records which sounds are on. */
function fakeSounds() {
  const playing = new Set<string>();
  let started = 0;
  const play = (name: string) => {
    started += 1;
    const sound = `${started} ${name}`;
    playing.add(sound);
    return () => void playing.delete(sound);
  };
  /** The names of the sounds that play, in the order of their start. */
  const audible = () => [...playing].map((sound) => sound.replace(/^\d+ /, ''));
  return { play, audible };
}

/** What the browser supports: everything, unless a test overrides it. */
const fakeBrowser = (overrides: Partial<PhoneDeps['browser']>) => ({
  missing: () => null,
  prepareAlerts: vi.fn(),
  requestMicrophone: vi.fn(async () => undefined),
  claimTabName: vi.fn(async () => 'tab'),
  ...overrides,
});

/** Keeps the handlers of the phone while it watches its environment. */
function fakeEnvironment() {
  const environment: { handlers: EnvironmentHandlers | undefined } = { handlers: undefined };
  const watchEnvironment = (handlers: EnvironmentHandlers) => {
    environment.handlers = handlers;
    return () => {
      environment.handlers = undefined;
    };
  };
  return { environment, watchEnvironment };
}

/** Opens what the phone asks for, and keeps it for the test. */
function fakeFactories() {
  const devices: FakeDevice[] = [];
  const channels: FakeChannel[] = [];
  const createDevice = vi.fn<PhoneDeps['createDevice']>(async (token, options) => {
    const device = new FakeDevice(token, options);
    devices.push(device);
    return device;
  });
  const openChannel = () => {
    const channel = new FakeChannel();
    channels.push(channel);
    return channel;
  };
  return {
    devices,
    createDevice,
    openChannel,
    /** Returns the device that was created last. */
    device: () => latest(devices, 'device'),
    channel: () => latest(channels, 'channel'),
  };
}

/** Creates a phone, and everything around it that the test controls. */
export function setUp(overrides: Partial<PhoneDeps['browser']> = {}) {
  const { openChannel, ...factories } = fakeFactories();
  const { environment, watchEnvironment } = fakeEnvironment();
  const { play, audible } = fakeSounds();
  const missed: string[] = [];
  const server = fakeServer();
  const live = new FakeLive();
  const browser = fakeBrowser(overrides);
  const chosen = { microphone: '', speaker: '' };
  let ids = 0;
  const phone = new Phone({
    createDevice: factories.createDevice,
    server,
    live,
    browser,
    watchEnvironment,
    openChannel,
    ringer: { start: (callSid, party) => play(`ring ${callSid} ${party}`) },
    sounds: { ringBack: () => play('ringback'), callWaiting: () => play('waiting') },
    chosenDevice: (kind) => chosen[kind],
    onMissed: (sid, party) => missed.push(`${sid} ${party}`),
    newId: () => {
      ids += 1;
      return `registration-${ids}`;
    },
    chance: () => 1,
  });
  const state = () => phone.store.getState();
  const goOnline = async () => {
    await phone.goOnline();
    factories.device().becomeRegistered();
    await settle();
  };
  const controls = { server, live, browser, environment, chosen, missed, audible };
  return { phone, state, goOnline, ...factories, ...controls };
}

function latest<T>(all: readonly T[], name: string): T {
  const last = all.at(-1);
  if (!last) throw new Error(`the phone opened no ${name}`);
  return last;
}
