/**
 * Adapts the Voice SDK to the types of this folder. No other file imports the SDK, and this one loads
 * it only when the phone goes online: it is half of the page's weight.
 */
import type { Device } from '@twilio/voice-sdk';
import { type PhoneError, toPhoneError } from './errors';
import { isWarning, type Sample, type Warning } from './quality';

/** The events of the SDK's `Call`, with their arguments. */
interface SdkCallEvents {
  ringing: [hasSound: boolean];
  accept: [];
  reconnecting: [error: unknown];
  reconnected: [];
  mute: [muted: boolean];
  sample: [sample: SdkSample];
  warning: [name: string];
  'warning-cleared': [name: string];
  error: [error: unknown];
  disconnect: [];
  cancel: [];
  reject: [];
}

/** The part of the SDK's `Call` that the phone uses. */
export interface SdkCall {
  readonly parameters: Readonly<Record<string, string>>;
  readonly customParameters: ReadonlyMap<string, string>;
  readonly direction: string;
  on<E extends keyof SdkCallEvents>(
    event: E,
    listener: (...args: SdkCallEvents[E]) => void,
  ): unknown;
  accept(options: MediaOptions): void;
  reject(): void;
  ignore(): void;
  disconnect(): void;
  mute(muted: boolean): void;
  sendDigits(digits: string): void;
}

/** The part of the SDK's `AudioHelper` that the phone uses. */
export interface SdkAudio {
  readonly isOutputSelectionSupported: boolean;
  readonly speakerDevices: { set(deviceId: string): Promise<void> };
  setInputDevice(deviceId: string): Promise<void>;
  unsetInputDevice(): Promise<void>;
}

/** The events of the SDK's `Device`, with their arguments. */
interface SdkDeviceEvents {
  registered: [];
  unregistered: [];
  /** The call is absent for errors of the device itself. */
  error: [error: unknown, call?: SdkCall];
  incoming: [call: SdkCall];
}

/** The part of the SDK's `Device` that the phone uses. */
export interface SdkDevice {
  readonly state: string;
  readonly audio: SdkAudio | null;
  on<E extends keyof SdkDeviceEvents>(
    event: E,
    listener: (...args: SdkDeviceEvents[E]) => void,
  ): unknown;
  register(): Promise<void>;
  updateToken(token: string): void;
  connect(options: MediaOptions & { params: Record<string, string> }): Promise<SdkCall>;
  destroy(): void;
}

/** Creates the SDK's device. */
export type CreateDevice = (token: string, options: Device.Options) => Promise<SdkDevice>;

/** Loads the Voice SDK, and creates its device. */
export const createSdkDevice: CreateDevice = async (token, options) => {
  const sdk = await import('@twilio/voice-sdk');
  return new sdk.Device(token, options);
};

/** An event of a leg. */
export type LegEvent =
  | { type: 'sid-known'; sid: string }
  /** `hasSound`: the other end sends a ringing tone of its own. */
  | { type: 'ringing'; hasSound: boolean }
  | { type: 'connected' }
  | { type: 'reconnecting' }
  | { type: 'reconnected' }
  | { type: 'muted'; muted: boolean }
  | { type: 'sampled'; sample: Sample }
  | { type: 'warned'; warning: Warning }
  | { type: 'warning-cleared'; warning: Warning }
  | { type: 'failed'; error: PhoneError }
  /** It ended, or was never answered. */
  | { type: 'ended' };

/** A leg of a call: the part between Twilio and this browser. */
export interface Leg {
  subscribe: (listener: (event: LegEvent) => void) => void;
  accept: (microphone: string) => void;
  reject: () => void;
  /** Stops ringing here; elsewhere the call goes on ringing. */
  ignore: () => void;
  hangUp: () => void;
  mute: (muted: boolean) => void;
  /** Sends DTMF tones: `0-9*#w`, where `w` waits for half a second. */
  sendDigits: (digits: string) => void;
}

/** A leg that rings. */
export interface IncomingLeg {
  leg: Leg;
  /** The SID of the leg to this browser. */
  sid: string;
  from: string;
  /** The SID of the parent leg, as the server passed it on. */
  parentSid: string | null;
}

export interface DeviceEvents {
  onRegistered: () => void;
  onUnregistered: () => void;
  /** Receives errors of the device, not those of a call. */
  onError: (error: PhoneError) => void;
  onIncoming: (incoming: IncomingLeg) => void;
}

/** This browser as a device at Twilio. */
export interface VoiceDevice {
  isRegistered: () => boolean;
  updateToken: (token: string) => void;
  connect: (to: string, microphone: string) => Promise<Leg>;
  setMicrophone: (deviceId: string) => Promise<void>;
  setSpeaker: (deviceId: string) => Promise<void>;
  /** Releases a microphone that was chosen during a call. */
  releaseMicrophone: () => Promise<void>;
  destroy: () => void;
}

/** How long the SDK may try to restore the signalling of a call: its maximum. */
const SIGNALING_TIMEOUT_MS = 30_000;

/** Silences the SDK's own sounds, which it loads from Twilio's servers; the page makes its own. */
class NoSound {
  play() {
    return Promise.resolve();
  }
  stop() {}
  setSinkIds() {}
}

/** Opens a device and begins to register it. An `edge` of null selects the nearest one. */
export async function openDevice(
  createDevice: CreateDevice,
  token: string,
  edge: string | null,
  events: DeviceEvents,
): Promise<VoiceDevice> {
  const options = {
    ...(edge === null ? {} : { edge }),
    appName: 'callburner',
    // The page shows a call that comes during another one, instead of hiding it.
    allowIncomingWhileBusy: true,
    // Asks before the page is closed, during a call only.
    closeProtection: true,
    maxCallSignalingTimeoutMs: SIGNALING_TIMEOUT_MS,
    enableImprovedSignalingErrorPrecision: true,
    logLevel: 'silent' as const,
    Sound: NoSound,
  };
  const device = await createDevice(token, options);
  device.on('registered', events.onRegistered);
  device.on('unregistered', events.onUnregistered);
  device.on('error', (error, call) => {
    if (!call) events.onError(toPhoneError(error));
  });
  device.on('incoming', (call) => events.onIncoming(incomingLeg(call)));
  // A failure also emits an error event, which has more details.
  device.register().catch(() => undefined);
  return voiceDevice(device);
}

function voiceDevice(device: SdkDevice): VoiceDevice {
  return {
    isRegistered: () => device.state === 'registered',
    updateToken: (token) => device.updateToken(token),
    connect: async (to, microphone) =>
      toLeg(await device.connect({ params: { To: to }, ...mediaOptions(microphone) })),
    setMicrophone: async (deviceId) => {
      await device.audio?.setInputDevice(deviceId || 'default');
    },
    setSpeaker: async (deviceId) => {
      if (device.audio?.isOutputSelectionSupported)
        await device.audio.speakerDevices.set(deviceId || 'default');
    },
    releaseMicrophone: async () => {
      await device.audio?.unsetInputDevice();
    },
    destroy: () => device.destroy(),
  };
}

/** The SDK's options for the microphone of a call. */
export interface MediaOptions {
  rtcConstraints?: { audio: { deviceId: string } };
}

/** Prefers the chosen microphone; the browser falls back to the system's if it is gone. */
const mediaOptions = (microphone: string): MediaOptions =>
  microphone ? { rtcConstraints: { audio: { deviceId: microphone } } } : {};

const incomingLeg = (call: SdkCall): IncomingLeg => ({
  leg: toLeg(call),
  sid: call.parameters.CallSid ?? '',
  from: call.parameters.From ?? '',
  parentSid: call.customParameters.get('callSid') ?? null,
});

function toLeg(call: SdkCall): Leg {
  return {
    subscribe: (listener) => subscribe(call, listener),
    accept: (microphone) => call.accept(mediaOptions(microphone)),
    reject: () => call.reject(),
    ignore: () => call.ignore(),
    hangUp: () => call.disconnect(),
    mute: (muted) => call.mute(muted),
    sendDigits: (digits) => call.sendDigits(digits),
  };
}

function subscribe(call: SdkCall, emit: (event: LegEvent) => void) {
  const emitSid = () => {
    const sid = call.parameters.CallSid;
    if (sid && call.direction === 'OUTGOING') emit({ type: 'sid-known', sid });
  };
  call.on('ringing', (hasSound) => {
    emitSid();
    emit({ type: 'ringing', hasSound });
  });
  call.on('accept', () => {
    emitSid();
    emit({ type: 'connected' });
  });
  call.on('reconnecting', () => emit({ type: 'reconnecting' }));
  call.on('reconnected', () => emit({ type: 'reconnected' }));
  call.on('mute', (muted) => emit({ type: 'muted', muted }));
  call.on('sample', (sample) => emit({ type: 'sampled', sample: toSample(sample) }));
  call.on('warning', (warning) => {
    if (isWarning(warning)) emit({ type: 'warned', warning });
  });
  call.on('warning-cleared', (warning) => {
    if (isWarning(warning)) emit({ type: 'warning-cleared', warning });
  });
  call.on('error', (error) => emit({ type: 'failed', error: toPhoneError(error) }));
  for (const end of ['disconnect', 'cancel', 'reject'] as const)
    call.on(end, () => emit({ type: 'ended' }));
}

interface SdkSample {
  mos: number | null;
  rtt: number;
  jitter: number;
  packetsLostFraction: number;
}

const toSample = ({ mos, rtt, jitter, packetsLostFraction }: SdkSample): Sample => ({
  mos,
  roundTripMs: rtt,
  jitterMs: jitter,
  lost: packetsLostFraction / 100,
});
