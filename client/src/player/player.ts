/**
 * Plays a call. Time is the call's own: that of its words, wherever its sound began. Without sound
 * it is a place in the words that one moves. Outside of React; hooks at the end.
 */
import { createStore, useStore } from 'zustand';
import type { Source } from './sources';
import { type Span, skipFrom } from './speech';

export const SPEEDS: readonly number[] = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2];

export interface PlayerState {
  /** Where it is: changes with every frame while it plays. Select as little as you show. */
  timeMs: number;
  /** As long as the sound or the words, whichever goes on for longer. */
  durationMs: number;
  isPlaying: boolean;
  /** Waits for sound from the server. */
  isWaiting: boolean;
  hasFailed: boolean;
  speed: number;
  skipsSilence: boolean;
  /** Counts the times that someone went to another place. */
  seeks: number;
}

/** The parts of an `<audio>` that are used, so that tests can stand in for it. */
export type Sound = Pick<
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
  /** Where the last word ends. */
  wordsEndMs: number;
  silences: readonly Span[];
}

/** From here on a place can be set in the sound. */
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
  #sound: Sound | undefined;
  #frame: number | undefined;
  /** A place that was asked for before the sound could be set to it. */
  #wantedMs: number | undefined;

  /** Another sound, or more words; the place and the pace stay. */
  open(options: PlayerOptions) {
    this.#options = options;
    this.#set({ durationMs: options.wordsEndMs });
    if (this.#sound && this.#sound.readyState >= HAVE_METADATA) this.#measure(this.#sound);
  }

  /** Takes the sound that the page has; call what it returns when it goes. */
  attach(sound: Sound): () => void {
    this.#sound = sound;
    const on = this.#listeners(sound);
    for (const [name, listener] of on) sound.addEventListener(name, listener);
    sound.playbackRate = this.#state.speed;
    if (sound.readyState >= HAVE_METADATA) this.#measure(sound);
    else this.#wantedMs ??= this.#state.timeMs;
    return () => {
      for (const [name, listener] of on) sound.removeEventListener(name, listener);
      sound.pause();
      this.#rest();
      this.#sound = undefined;
      this.#set({ isPlaying: false, isWaiting: false });
    };
  }

  /** Asks the sound itself: the state hears of it an event later, and keys may be quicker. */
  toggle() {
    if (this.#sound && !this.#sound.paused) this.pause();
    else this.play();
  }

  play() {
    const sound = this.#sound;
    if (!sound || !this.#options.source) return;
    if (this.#state.timeMs >= this.#state.durationMs) this.seek(0);
    // The browser says no, or the sound cannot be loaded: `error` and `pause` tell.
    sound.play().catch(() => this.#set({ isPlaying: false, isWaiting: false }));
  }

  pause() {
    this.#sound?.pause();
  }

  /** Goes to a time of the call. */
  seek(timeMs: number) {
    this.#set({ seeks: this.#state.seeks + 1 });
    this.#go(timeMs);
  }

  seekBy(ms: number) {
    this.seek(this.#state.timeMs + ms);
  }

  setSpeed(speed: number) {
    this.#set({ speed });
    if (this.#sound) this.#sound.playbackRate = speed;
  }

  /** The next faster speed, or the next slower one, if there is one. */
  stepSpeed(by: 1 | -1) {
    const at = SPEEDS.indexOf(this.#state.speed);
    const speed = SPEEDS[at + by];
    if (speed !== undefined) this.setSpeed(speed);
  }

  setSkipsSilence(skipsSilence: boolean) {
    this.#set({ skipsSilence });
  }

  /** Loads the sound once more after a failure. */
  retry() {
    this.#set({ hasFailed: false });
    this.#wantedMs = this.#state.timeMs;
    this.#sound?.load();
  }

  #go(timeMs: number) {
    const sound = this.#sound;
    // The sound may go on after the last word: until it has come, nobody knows for how long.
    const isKnown = !sound || sound.readyState >= HAVE_METADATA;
    const to = Math.max(0, isKnown ? Math.min(timeMs, this.#state.durationMs) : timeMs);
    this.#set({ timeMs: to });
    if (!sound) return;
    if (isKnown) sound.currentTime = this.#inSound(to);
    else this.#wantedMs = to;
  }

  #listeners(sound: Sound): [string, () => void][] {
    return [
      ['loadedmetadata', () => this.#measure(sound)],
      ['durationchange', () => this.#measure(sound)],
      ['play', () => this.#set({ isPlaying: true })],
      [
        'playing',
        () => {
          this.#set({ isWaiting: false, hasFailed: false });
          this.#follow();
        },
      ],
      ['waiting', () => this.#set({ isWaiting: true })],
      [
        'pause',
        () => {
          this.#rest();
          this.#hear();
          this.#set({ isPlaying: false, isWaiting: false });
        },
      ],
      // Frames stop while nobody looks; silence is to be skipped even then.
      ['timeupdate', () => this.#hear()],
      ['seeked', () => this.#hear()],
      ['error', () => this.#set({ hasFailed: true, isPlaying: false, isWaiting: false })],
    ];
  }

  /** How long it is, and to where it was sent before that was known. */
  #measure(sound: Sound) {
    const endMs = Number.isFinite(sound.duration) ? this.#inCall(sound.duration) : 0;
    this.#set({ durationMs: Math.max(this.#options.wordsEndMs, endMs) });
    if (this.#wantedMs === undefined) return;
    const wanted = this.#wantedMs;
    this.#wantedMs = undefined;
    if (wanted > 0) this.#go(wanted);
  }

  /** Where the sound has got to. */
  #hear() {
    const sound = this.#sound;
    if (!sound || this.#wantedMs !== undefined || sound.readyState < HAVE_METADATA) return;
    const timeMs = this.#inCall(sound.currentTime);
    const skipTo =
      this.#state.skipsSilence && !sound.paused ? skipFrom(this.#options.silences, timeMs) : null;
    if (skipTo !== null) this.#go(skipTo);
    // A recording that began late has no sound of the beginning: the place stays where it was put.
    else if (!sound.paused || sound.currentTime > 0) this.#set({ timeMs });
  }

  #follow() {
    this.#rest();
    const step = () => {
      this.#hear();
      this.#frame = requestAnimationFrame(step);
    };
    this.#frame = requestAnimationFrame(step);
  }

  #rest() {
    if (this.#frame !== undefined) cancelAnimationFrame(this.#frame);
    this.#frame = undefined;
  }

  #inCall(seconds: number) {
    return seconds * 1_000 + (this.#options.source?.offsetMs ?? 0);
  }

  #inSound(timeMs: number) {
    return Math.max(0, timeMs - (this.#options.source?.offsetMs ?? 0)) / 1_000;
  }

  get #state() {
    return this.store.getState();
  }

  #set(state: Partial<PlayerState>) {
    this.store.setState(state);
  }
}

/** A part of the player's state, kept up to date. */
export const usePlayer = <T>(player: Player, select: (state: PlayerState) => T): T =>
  useStore(player.store, select);
