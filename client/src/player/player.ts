/**
 * Plays a stored call. All times are times of the call, whenever its audio started. Without audio the
 * player is a position that can be moved. Outside of React; the hook is at the end.
 */
import { createStore, useStore } from 'zustand';
import type { Source } from './sources';
import { type Span, skipFrom } from './speech';

export const SPEEDS: readonly number[] = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2];

export interface PlayerState {
  /** The position; changes with every frame while it plays. Select no more than you show. */
  timeMs: number;
  /** The end of the audio or of the last word, whichever is later. */
  durationMs: number;
  isPlaying: boolean;
  /** Waits for audio from the server. */
  isWaiting: boolean;
  hasFailed: boolean;
  speed: number;
  skipsSilence: boolean;
  /** The number of seeks so far. */
  seeks: number;
}

/** The used part of an `<audio>` element, which tests can replace. */
export type AudioLike = Pick<
  HTMLAudioElement,
  | 'currentTime'
  | 'duration'
  | 'paused'
  | 'playbackRate'
  | 'readyState'
  | 'error'
  | 'play'
  | 'pause'
  | 'load'
  | 'addEventListener'
  | 'removeEventListener'
>;

export interface PlayerOptions {
  source: Pick<Source, 'offsetMs'> | null;
  /** The end of the last word. */
  wordsEndMs: number;
  silences: readonly Span[];
}

/** The `readyState` from which an audio element can seek. */
const HAVE_METADATA = 1;

export class Player {
  readonly store = createStore<PlayerState>(() => ({
    timeMs: 0,
    durationMs: 0,
    isPlaying: false,
    isWaiting: false,
    hasFailed: false,
    speed: 1,
    skipsSilence: false,
    seeks: 0,
  }));
  #options: PlayerOptions = { source: null, wordsEndMs: 0, silences: [] };
  #audio: AudioLike | undefined;
  #frame: number | undefined;
  /** A seek that waits for the metadata of the audio. */
  #pendingSeekMs: number | undefined;

  /** Takes another source, or more words; keeps the position and the speed. */
  open(options: PlayerOptions) {
    this.#options = options;
    this.#set({ durationMs: options.wordsEndMs });
    if (this.#audio && this.#audio.readyState >= HAVE_METADATA) this.#readMetadata(this.#audio);
  }

  /** Attaches the audio element until the returned function is called. */
  attach(audio: AudioLike): () => void {
    this.#audio = audio;
    const on = this.#listeners(audio);
    for (const [name, listener] of on) audio.addEventListener(name, listener);
    audio.playbackRate = this.#state.speed;
    if (audio.readyState >= HAVE_METADATA) this.#readMetadata(audio);
    else this.#pendingSeekMs ??= this.#state.timeMs;
    return () => {
      for (const [name, listener] of on) audio.removeEventListener(name, listener);
      audio.pause();
      this.#stopFrames();
      this.#audio = undefined;
      this.#set({ isPlaying: false, isWaiting: false });
    };
  }

  /** Reads the audio element itself, since the state follows only with the next event. */
  toggle() {
    if (this.#audio && !this.#audio.paused) this.pause();
    else this.play();
  }

  play() {
    const audio = this.#audio;
    if (!audio || !this.#options.source) return;
    if (this.#state.timeMs >= this.#state.durationMs) this.seek(0);
    // The browser refused, or the audio failed to load, which an `error` event reports.
    audio.play().catch(() => this.#set({ isPlaying: false, isWaiting: false }));
  }

  pause() {
    this.#audio?.pause();
  }

  seek(timeMs: number) {
    this.#set({ seeks: this.#state.seeks + 1 });
    this.#moveTo(timeMs);
  }

  seekBy(ms: number) {
    this.seek(this.#state.timeMs + ms);
  }

  setSpeed(speed: number) {
    this.#set({ speed });
    if (this.#audio) this.#audio.playbackRate = speed;
  }

  /** Changes to the next faster or slower speed, if there is one. */
  stepSpeed(by: 1 | -1) {
    const at = SPEEDS.indexOf(this.#state.speed);
    const speed = SPEEDS[at + by];
    if (speed !== undefined) this.setSpeed(speed);
  }

  setSkipsSilence(skipsSilence: boolean) {
    this.#set({ skipsSilence });
  }

  /** Loads the audio again after a failure. */
  retry() {
    this.#set({ hasFailed: false });
    this.#pendingSeekMs = this.#state.timeMs;
    this.#audio?.load();
  }

  #moveTo(timeMs: number) {
    const audio = this.#audio;
    // The duration is unknown until the metadata arrives: the audio may outlast the last word.
    const isKnown = !audio || audio.readyState >= HAVE_METADATA;
    const to = Math.max(0, isKnown ? Math.min(timeMs, this.#state.durationMs) : timeMs);
    this.#set({ timeMs: to });
    if (!audio) return;
    if (isKnown) audio.currentTime = this.#toAudioTime(to);
    else this.#pendingSeekMs = to;
  }

  #listeners(audio: AudioLike): [string, () => void][] {
    return [
      ['loadedmetadata', () => this.#readMetadata(audio)],
      ['durationchange', () => this.#readMetadata(audio)],
      ['play', () => this.#set({ isPlaying: true })],
      [
        'playing',
        () => {
          this.#set({ isWaiting: false, hasFailed: false });
          this.#startFrames();
        },
      ],
      ['waiting', () => this.#set({ isWaiting: true })],
      [
        'pause',
        () => {
          this.#stopFrames();
          this.#readPosition();
          this.#set({ isPlaying: false, isWaiting: false });
        },
      ],
      // Hidden tabs get no frames, but silence must still be skipped.
      ['timeupdate', () => this.#readPosition()],
      ['seeked', () => this.#readPosition()],
      ['error', () => this.#set({ hasFailed: true, isPlaying: false, isWaiting: false })],
    ];
  }

  /** Reads the duration, and applies a pending seek. */
  #readMetadata(audio: AudioLike) {
    const endMs = Number.isFinite(audio.duration) ? this.#toCallTime(audio.duration) : 0;
    this.#set({ durationMs: Math.max(this.#options.wordsEndMs, endMs) });
    if (this.#pendingSeekMs === undefined) return;
    const wanted = this.#pendingSeekMs;
    this.#pendingSeekMs = undefined;
    if (wanted > 0) this.#moveTo(wanted);
  }

  /** Reads the position of the audio, and skips silence. */
  #readPosition() {
    const audio = this.#audio;
    if (!audio || this.#pendingSeekMs !== undefined || audio.readyState < HAVE_METADATA) return;
    const timeMs = this.#toCallTime(audio.currentTime);
    const skipTo =
      this.#state.skipsSilence && !audio.paused ? skipFrom(this.#options.silences, timeMs) : null;
    if (skipTo !== null) this.#moveTo(skipTo);
    // The audio of a late recording lacks the beginning: there the position stays as it was set.
    else if (!audio.paused || audio.currentTime > 0) this.#set({ timeMs });
  }

  #startFrames() {
    this.#stopFrames();
    const step = () => {
      this.#readPosition();
      this.#frame = requestAnimationFrame(step);
    };
    this.#frame = requestAnimationFrame(step);
  }

  #stopFrames() {
    if (this.#frame !== undefined) cancelAnimationFrame(this.#frame);
    this.#frame = undefined;
  }

  #toCallTime(seconds: number) {
    return seconds * 1_000 + (this.#options.source?.offsetMs ?? 0);
  }

  #toAudioTime(timeMs: number) {
    return Math.max(0, timeMs - (this.#options.source?.offsetMs ?? 0)) / 1_000;
  }

  get #state() {
    return this.store.getState();
  }

  #set(state: Partial<PlayerState>) {
    this.store.setState(state);
  }
}

/** Selects from the state of the player. */
export const usePlayer = <T>(player: Player, select: (state: PlayerState) => T): T =>
  useStore(player.store, select);
