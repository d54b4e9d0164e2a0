/**
 * The Voice SDK, in our own words. No other file imports it, and this one only when the phone goes
 * online: it is half of what the page weighs.
 */
import type { Call, Device } from '@twilio/voice-sdk';
import { type Trouble, troubleOf } from './errors';
import { isWarning, type Sample, type Warning } from './quality';

/** What a call tells. */
export type LegEvent =
  | { type: 'named'; sid: string }
  /** `hasSound`: what one hears comes from the other end. */
  | { type: 'ringing'; hasSound: boolean }
  | { type: 'connected' }
  | { type: 'interrupted' }
  | { type: 'resumed' }
  | { type: 'muted'; muted: boolean }
  | { type: 'sampled'; sample: Sample }
  | { type: 'warned'; warning: Warning }
  | { type: 'warning-cleared'; warning: Warning }
  | { type: 'failed'; trouble: Trouble }
  /** It is over, or was never answered. */
  | { type: 'over' };

/** One call of this browser's. */
export interface Leg {
  hear: (listener: (event: LegEvent) => void) => void;
  accept: (microphone: string) => void;
  reject: () => void;
  /** Rings here no more, and goes on elsewhere. */
  ignore: () => void;
  hangUp: () => void;
  mute: (muted: boolean) => void;
  /** `0-9*#w`; `w` waits for half a second. */
  sendKeys: (keys: string) => void;
}

/** A call that rings. */
export interface Ringing {
  leg: Leg;
  /** The SID of the leg to this browser. */
  sid: string;
  from: string;
  /** What the server named it by. */
  parentSid: string | null;
}

export interface DeviceEvents {
  onRegistered: () => void;
  onUnregistered: () => void;
  /** Of the line, not of a call. */
  onTrouble: (trouble: Trouble) => void;
  onIncoming: (ringing: Ringing) => void;
}

/** This browser as a telephone at Twilio. */
export interface Telephone {
  isRegistered: () => boolean;
  replaceToken: (token: string) => void;
  dial: (to: string, microphone: string) => Promise<Leg>;
  setMicrophone: (deviceId: string) => Promise<void>;
  setSpeaker: (deviceId: string) => Promise<void>;
  /** A device was chosen during a call: it is let go of after it. */
  releaseMicrophone: () => Promise<void>;
  destroy: () => void;
}

/** How long the SDK may try to find back to a call after its signalling was lost: its most. */
const REJOINS_WITHIN_MS = 30_000;

/** The SDK's own sounds come from Twilio's servers; ours are made in the page. */
class NoSound {
  play() {
    return Promise.resolve();
  }
  stop() {}
  setSinkIds() {}
}

/** Sets out to register; `onRegistered` tells when it is there. `edge` null: the nearest. */
export async function openTelephone(
  token: string,
  edge: string | null,
  events: DeviceEvents,
): Promise<Telephone> {
  const { Device: SdkDevice } = await import('@twilio/voice-sdk');
  const options = {
    ...(edge === null ? {} : { edge }),
    appName: 'callburner',
    // A call that comes while another one goes on is told, not hidden: the page says that it waits.
    allowIncomingWhileBusy: true,
    // Speaks only while a call goes on.
    closeProtection: true,
    maxCallSignalingTimeoutMs: REJOINS_WITHIN_MS,
    enableImprovedSignalingErrorPrecision: true,
    logLevel: 'silent' as const,
    Sound: NoSound,
  };
  const device = new SdkDevice(token, options);
  device.on('registered', events.onRegistered);
  device.on('unregistered', events.onUnregistered);
  device.on('error', (error, call) => {
    if (!call) events.onTrouble(troubleOf(error));
  });
  device.on('incoming', (call: Call) => events.onIncoming(ringing(call)));
  // It also fails by an error event, which tells more.
  device.register().catch(() => undefined);
  return telephone(device);
}

function telephone(device: Device): Telephone {
  return {
    isRegistered: () => device.state === 'registered',
    replaceToken: (token) => device.updateToken(token),
    dial: async (to, microphone) =>
      legOf(await device.connect({ params: { To: to }, ...constraints(microphone) })),
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

/** Prefers the chosen microphone; the system's if it is gone. */
const constraints = (microphone: string) =>
  microphone ? { rtcConstraints: { audio: { deviceId: microphone } } } : {};

const ringing = (call: Call): Ringing => ({
  leg: legOf(call),
  sid: call.parameters.CallSid ?? '',
  from: call.parameters.From ?? '',
  parentSid: call.customParameters.get('callSid') ?? null,
});

function legOf(call: Call): Leg {
  return {
    hear: (listener) => hear(call, listener),
    accept: (microphone) => call.accept(constraints(microphone)),
    reject: () => call.reject(),
    ignore: () => call.ignore(),
    hangUp: () => call.disconnect(),
    mute: (muted) => call.mute(muted),
    sendKeys: (keys) => call.sendDigits(keys),
  };
}

function hear(call: Call, tell: (event: LegEvent) => void) {
  const name = () => {
    const sid = call.parameters.CallSid;
    if (sid && call.direction === 'OUTGOING') tell({ type: 'named', sid });
  };
  call.on('ringing', (hasSound: boolean) => {
    name();
    tell({ type: 'ringing', hasSound });
  });
  call.on('accept', () => {
    name();
    tell({ type: 'connected' });
  });
  call.on('reconnecting', () => tell({ type: 'interrupted' }));
  call.on('reconnected', () => tell({ type: 'resumed' }));
  call.on('mute', (muted: boolean) => tell({ type: 'muted', muted }));
  call.on('sample', (sample) => tell({ type: 'sampled', sample: sampleOf(sample) }));
  call.on('warning', (warning: string) => {
    if (isWarning(warning)) tell({ type: 'warned', warning });
  });
  call.on('warning-cleared', (warning: string) => {
    if (isWarning(warning)) tell({ type: 'warning-cleared', warning });
  });
  call.on('error', (error) => tell({ type: 'failed', trouble: troubleOf(error) }));
  for (const end of ['disconnect', 'cancel', 'reject']) call.on(end, () => tell({ type: 'over' }));
}

interface SdkSample {
  mos: number | null;
  rtt: number;
  jitter: number;
  packetsLostFraction: number;
}

const sampleOf = ({ mos, rtt, jitter, packetsLostFraction }: SdkSample): Sample => ({
  mos,
  roundTripMs: rtt,
  jitterMs: jitter,
  lost: packetsLostFraction / 100,
});
