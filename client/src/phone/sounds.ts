/**
 * Plays the sounds of the phone: keys, ringtone, ringing tone, call waiting and a test. They are
 * synthesised, so that nothing has to be loaded when a call comes in.
 */
import { readPreference } from '../preferences/preferences';

/** Loudness, 0 to 1. */
const QUIET_GAIN = 0.06;
const RING_GAIN = 0.22;

const KEY_MS = 90;

/** The frequencies of the keys: ITU-T Q.23. */
const ROWS_HZ = [697, 770, 852, 941];
const COLUMNS_HZ = [1_209, 1_336, 1_477];
const KEYS = '123456789*0#';

/** A chord: when it starts, how long it lasts, and its tones. */
interface Note {
  atMs: number;
  lastsMs: number;
  tonesHz: readonly number[];
}

/** Two chords upwards, twice, then a pause. */
const RINGTONE: readonly Note[] = [0, 700].flatMap((atMs) => [
  { atMs, lastsMs: 220, tonesHz: [587, 1_175] },
  { atMs: atMs + 200, lastsMs: 380, tonesHz: [784, 1_568] },
]);
const RINGTONE_EVERY_MS = 3_000;

/** The ringing tone that a caller hears: ITU-T E.180. */
const RINGBACK: readonly Note[] = [{ atMs: 0, lastsMs: 1_000, tonesHz: [425] }];
const RINGBACK_EVERY_MS = 4_000;

/** The call waiting tone of North America, once every ten seconds. */
const WAITING: readonly Note[] = [{ atMs: 0, lastsMs: 300, tonesHz: [440] }];
const WAITING_EVERY_MS = 10_000;

const TEST: readonly Note[] = [523, 659, 784].map((hz, n) => ({
  atMs: n * 220,
  lastsMs: 260,
  tonesHz: [hz],
}));

type Output = 'speaker' | 'ringtone';

const contexts = new Map<Output, AudioContext>();

/** Allows this page to play sounds. Call it in a user gesture, which browsers require. */
export function unlockSounds() {
  for (const output of ['speaker', 'ringtone'] as const) void contextOf(output)?.resume();
}

/** Plays the DTMF tone of a key. */
export function playKey(key: string) {
  const at = KEYS.indexOf(key);
  const row = ROWS_HZ[Math.floor(at / 3)];
  const column = COLUMNS_HZ[at % 3];
  if (at < 0 || row === undefined || column === undefined) return;
  play('speaker', [{ atMs: 0, lastsMs: KEY_MS, tonesHz: [row, column] }], QUIET_GAIN);
}

export const playTest = () => play('speaker', TEST, QUIET_GAIN * 2);
export const playRingtoneOnce = () => play('ringtone', RINGTONE, RING_GAIN);

/** Plays the ringtone until the returned function is called. */
export const ring = () => repeat('ringtone', RINGTONE, RING_GAIN, RINGTONE_EVERY_MS);

/** Plays the ringing tone until the returned function is called. */
export const ringBack = () => repeat('speaker', RINGBACK, QUIET_GAIN, RINGBACK_EVERY_MS);

/** Plays the call waiting tone until the returned function is called. */
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
    for (const hz of tonesHz) playTone(context, master, hz, atMs / 1_000, lastsMs / 1_000);
  return () => master.disconnect();
}

/** Plays a tone that fades in and out, so that it does not click. */
function playTone(
  context: AudioContext,
  output: AudioNode,
  hz: number,
  atS: number,
  lastsS: number,
) {
  const start = context.currentTime + atS;
  const envelope = context.createGain();
  envelope.gain.setValueAtTime(0, start);
  envelope.gain.linearRampToValueAtTime(1, start + 0.01);
  envelope.gain.setValueAtTime(1, start + lastsS - 0.03);
  envelope.gain.linearRampToValueAtTime(0, start + lastsS);
  const tone = context.createOscillator();
  tone.frequency.value = hz;
  tone.connect(envelope).connect(output);
  tone.onended = () => envelope.disconnect();
  tone.start(start);
  tone.stop(start + lastsS);
}

/** Returns the context of an output, on the device that the user chose for it. */
function contextOf(output: Output): AudioContext | undefined {
  if (typeof AudioContext === 'undefined') return undefined;
  let context = contexts.get(output);
  if (!context) {
    context = new AudioContext();
    contexts.set(output, context);
  }
  const sink = readPreference(output);
  // Without the device, or in a browser without a choice, the system's output is used.
  if (hasSink(context) && context.sinkId !== sink) context.setSinkId(sink).catch(() => undefined);
  return context;
}

interface Sink {
  sinkId: unknown;
  setSinkId: (deviceId: string) => Promise<void>;
}

/** Tells whether the browser can choose the output. */
const hasSink = (context: AudioContext): context is AudioContext & Sink => 'setSinkId' in context;
