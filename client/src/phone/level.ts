/** How loud a microphone is, measured on a stream of its own. */

/** Times a second: enough for the eye. */
const EVERY_MS = 66;

/** Decibels below full scale that count as silence. */
const FLOOR_DB = -60;

/** A level that is speech rather than a room, and how long it must last to be meant. */
const TALK_LEVEL = 0.45;
const TALKS_AFTER_MS = 400;

/** Speech has pauses: after this long it counts as over. */
const TALK_ENDS_AFTER_MS = 1_500;

/**
 * Tells the level, 0 to 1, until the returned function is called.
 *
 * @param deviceId empty: the system's
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
    }, EVERY_MS);
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

/** Of samples from -1 to 1: their strength, on a scale as ears have it. */
export function levelOf(samples: ArrayLike<number>): number {
  let sum = 0;
  for (let at = 0; at < samples.length; at += 1) sum += (samples[at] ?? 0) ** 2;
  const power = sum / Math.max(1, samples.length);
  const db = 10 * Math.log10(power + 1e-12);
  return Math.min(1, Math.max(0, 1 - db / FLOOR_DB));
}

/** Whether somebody talks, as far as the levels tell. Never changed in place. */
export interface Talk {
  readonly talks: boolean;
  readonly loudSinceMs: number | null;
  readonly loudUntilMs: number;
}

export const SILENT: Talk = { talks: false, loudSinceMs: null, loudUntilMs: 0 };

/** After one more level. */
export function foldTalk(talk: Talk, level: number, nowMs: number): Talk {
  if (level >= TALK_LEVEL) {
    const loudSinceMs = talk.loudSinceMs ?? nowMs;
    const talks = talk.talks || nowMs - loudSinceMs >= TALKS_AFTER_MS;
    return { talks, loudSinceMs, loudUntilMs: nowMs };
  }
  if (talk.loudSinceMs === null || nowMs - talk.loudUntilMs < TALK_ENDS_AFTER_MS) return talk;
  return SILENT;
}
