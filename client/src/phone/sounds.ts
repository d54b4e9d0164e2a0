/**
 * What the phone lets one hear: keys, a ringing call, the other end's ringing, a test. All of it is
 * made here, out of tones, so that nothing has to be loaded when a call comes in.
 */
import { readPreference } from '../settings/preferences';

/** Loudness, 0 to 1. */
const QUIET_GAIN = 0.06;
const RING_GAIN = 0.22;

const KEY_MS = 90;

/** The tones of a key: ITU-T Q.23. */
const ROWS_HZ = [697, 770, 852, 941];
const COLUMNS_HZ = [1_209, 1_336, 1_477];
const KEYS = '123456789*0#';

/** One stretch of sound: when, for how long, and which tones at once. */
interface Note {
  atMs: number;
  lastsMs: number;
  tonesHz: readonly number[];
}

/** Two soft steps up, twice, then a pause. */
const RINGTONE: readonly Note[] = [0, 700].flatMap((atMs) => [
  { atMs, lastsMs: 220, tonesHz: [587, 1_175] },
  { atMs: atMs + 200, lastsMs: 380, tonesHz: [784, 1_568] },
]);
const RINGTONE_EVERY_MS = 3_000;

/** What one hears while it rings elsewhere, as ITU-T E.180 suggests it. */
const RINGBACK: readonly Note[] = [{ atMs: 0, lastsMs: 1_000, tonesHz: [425] }];
const RINGBACK_EVERY_MS = 4_000;

/** What one hears in a call while another one waits: North America's tone, once every ten seconds. */
const WAITING: readonly Note[] = [{ atMs: 0, lastsMs: 300, tonesHz: [440] }];
const WAITING_EVERY_MS = 10_000;

const TEST: readonly Note[] = [523, 659, 784].map((hz, n) => ({
  atMs: n * 220,
  lastsMs: 260,
  tonesHz: [hz],
}));

type Output = 'speaker' | 'ringtone';

const contexts = new Map<Output, AudioContext>();

/** Browsers let a page sound once somebody pressed something: call it then. */
export function unlockSounds() {
  for (const output of ['speaker', 'ringtone'] as const) void contextOf(output)?.resume();
}

/** Beeps as a key of a telephone does. */
export function playKey(key: string) {
  const at = KEYS.indexOf(key);
  const row = ROWS_HZ[Math.floor(at / 3)];
  const column = COLUMNS_HZ[at % 3];
  if (at < 0 || row === undefined || column === undefined) return;
  play('speaker', [{ atMs: 0, lastsMs: KEY_MS, tonesHz: [row, column] }], QUIET_GAIN);
}

export const playTest = () => play('speaker', TEST, QUIET_GAIN * 2);
export const playRingtoneOnce = () => play('ringtone', RINGTONE, RING_GAIN);

/** Rings until the returned function is called. */
export const ring = () => repeat('ringtone', RINGTONE, RING_GAIN, RINGTONE_EVERY_MS);

/** Lets one hear that it rings elsewhere, until the returned function is called. */
export const ringBack = () => repeat('speaker', RINGBACK, QUIET_GAIN, RINGBACK_EVERY_MS);

/** Lets one hear in a call that another one waits, until the returned function is called. */
export const callWaiting = () => repeat('speaker', WAITING, QUIET_GAIN, WAITING_EVERY_MS);

function repeat(output: Output, notes: readonly Note[], gain: number, everyMs: number) {
  let stop = play(output, notes, gain);
  const timer = setInterval(() => {
    stop = play(output, notes, gain);
  }, everyMs);
  return () => {
    clearInterval(timer);
    stop();
  };
}

function play(output: Output, notes: readonly Note[], loudness: number): () => void {
  const context = contextOf(output);
  if (!context) return () => undefined;
  void context.resume();
  const master = context.createGain();
  master.gain.value = loudness;
  master.connect(context.destination);
  for (const { atMs, lastsMs, tonesHz } of notes)
    for (const hz of tonesHz) sound(context, master, hz, atMs / 1_000, lastsMs / 1_000);
  return () => master.disconnect();
}

/** A tone that swells and fades, so that it does not click. */
function sound(context: AudioContext, into: AudioNode, hz: number, atS: number, lastsS: number) {
  const start = context.currentTime + atS;
  const envelope = context.createGain();
  envelope.gain.setValueAtTime(0, start);
  envelope.gain.linearRampToValueAtTime(1, start + 0.01);
  envelope.gain.setValueAtTime(1, start + lastsS - 0.03);
  envelope.gain.linearRampToValueAtTime(0, start + lastsS);
  const tone = context.createOscillator();
  tone.frequency.value = hz;
  tone.connect(envelope).connect(into);
  tone.onended = () => envelope.disconnect();
  tone.start(start);
  tone.stop(start + lastsS);
}

/** Where a sound comes out; the browser's own choice where it offers none. */
function contextOf(output: Output): AudioContext | undefined {
  if (typeof AudioContext === 'undefined') return undefined;
  let context = contexts.get(output);
  if (!context) {
    context = new AudioContext();
    contexts.set(output, context);
  }
  const sink = readPreference(output);
  // A device that is gone, or a browser that cannot choose: the sound comes out anyway.
  if (choosesSink(context) && context.sinkId !== sink)
    context.setSinkId(sink).catch(() => undefined);
  return context;
}

interface Sink {
  sinkId: unknown;
  setSinkId: (deviceId: string) => Promise<void>;
}

/** Not every browser can. */
const choosesSink = (context: AudioContext): context is AudioContext & Sink =>
  'setSinkId' in context;
