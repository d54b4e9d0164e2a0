/** Measures how loud a microphone is, on a stream of its own. */

/** Interval between measurements: 15 a second are enough for the eye. */
const MEASURE_EVERY_MS = 66;

/** Decibels below full scale that count as silence. */
const FLOOR_DB = -60;

/** A level of speech rather than of room noise, and how long it must last to count. */
const TALK_LEVEL = 0.45;
const TALKS_AFTER_MS = 400;

/** A pause of this length ends the speech. */
const TALK_ENDS_AFTER_MS = 1_500;

/**
 * Reports the level, 0 to 1, until the returned function is called.
 *
 * @param deviceId the microphone; empty selects the system's
 */
export function watchLevel(
  deviceId: string,
  onLevel: (level: number) => void,
  onFailure: (thrown: unknown) => void = () => undefined,
): () => void {
  let isOver = false;
  let release = () => undefined as undefined;
  const audio: MediaTrackConstraints = deviceId ? { deviceId } : {};
  open().then(
    (stop) => {
      release = stop;
      if (isOver) release();
    },
    (thrown: unknown) => {
      if (!isOver) onFailure(thrown);
    },
  );
  async function open() {
    const stream = await navigator.mediaDevices.getUserMedia({ audio });
    const context = new AudioContext();
    const analyser = context.createAnalyser();
    context.createMediaStreamSource(stream).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    const timer = setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      onLevel(levelOf(samples));
    }, MEASURE_EVERY_MS);
    return () => {
      clearInterval(timer);
      for (const track of stream.getTracks()) track.stop();
      void context.close();
      return undefined;
    };
  }
  return () => {
    isOver = true;
    release();
  };
}

/** Returns the level of samples from -1 to 1, on a logarithmic scale. */
export function levelOf(samples: ArrayLike<number>): number {
  let sum = 0;
  for (let at = 0; at < samples.length; at += 1) sum += (samples[at] ?? 0) ** 2;
  const power = sum / Math.max(1, samples.length);
  const db = 10 * Math.log10(power + 1e-12);
  return Math.min(1, Math.max(0, 1 - db / FLOOR_DB));
}

/** Speech activity, as far as levels show it. Never changed in place. */
export interface Talk {
  readonly talks: boolean;
  readonly loudSinceMs: number | null;
  readonly loudUntilMs: number;
}

export const SILENT: Talk = { talks: false, loudSinceMs: null, loudUntilMs: 0 };

/** Returns the activity after one more level. */
export function foldTalk(talk: Talk, level: number, nowMs: number): Talk {
  if (level >= TALK_LEVEL) {
    const loudSinceMs = talk.loudSinceMs ?? nowMs;
    const talks = talk.talks || nowMs - loudSinceMs >= TALKS_AFTER_MS;
    return { talks, loudSinceMs, loudUntilMs: nowMs };
  }
  if (talk.loudSinceMs === null || nowMs - talk.loudUntilMs < TALK_ENDS_AFTER_MS) return talk;
  return SILENT;
}
