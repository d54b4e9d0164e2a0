import { describe, expect, it } from 'vitest';
import { type AudioLike, Player } from './player';

/** A fake audio element that loads and plays on demand. */
class FakeSound extends EventTarget implements AudioLike {
  currentTime = 0;
  duration = Number.NaN;
  paused = true;
  playbackRate = 1;
  readyState = 0;
  error = null;
  loads = 0;
  async play() {
    this.paused = false;
    this.tell('play');
  }
  pause() {
    if (this.paused) return;
    this.paused = true;
    this.tell('pause');
  }
  load() {
    this.loads += 1;
  }
  tell(name: string) {
    this.dispatchEvent(new Event(name));
  }
  arrive(duration: number) {
    this.duration = duration;
    this.readyState = 4;
    this.tell('loadedmetadata');
  }
  runTo(seconds: number) {
    this.currentTime = seconds;
    this.tell('timeupdate');
  }
}

function open(offsetMs = 0, silences = [{ startMs: 2_000, endMs: 6_000 }]) {
  const player = new Player();
  player.open({ source: { offsetMs }, wordsEndMs: 8_000, silences });
  const sound = new FakeSound();
  return { player, sound, leave: player.attach(sound), state: player.store.getState };
}

describe('a player', () => {
  it('applies a seek from before the audio had loaded', () => {
    const { player, sound, state } = open();
    player.seek(3_000);
    expect(sound.currentTime).toBe(0);
    sound.tell('timeupdate');
    expect(state().timeMs).toBe(3_000);
    sound.arrive(10);
    expect(sound.currentTime).toBe(3);
    expect(state().durationMs).toBe(10_000);
  });

  it('seeks beyond the last word up to the end of the audio', () => {
    const { player, sound } = open();
    player.seek(9_500);
    sound.arrive(10);
    expect(sound.currentTime).toBe(9.5);
    const short = open();
    short.player.seek(60_000);
    short.sound.arrive(10);
    expect(short.sound.currentTime).toBe(10);
  });

  it('stays within the call', () => {
    const { player, sound, state } = open();
    sound.arrive(10);
    player.seekBy(-1);
    expect(state().timeMs).toBe(0);
    player.seek(99_000);
    expect(state().timeMs).toBe(10_000);
  });

  it('uses the time of the call for a recording that started later', () => {
    const { player, sound, state } = open(2_500);
    sound.arrive(10);
    expect(state().durationMs).toBe(12_500);
    player.seek(4_000);
    expect(sound.currentTime).toBe(1.5);
    sound.runTo(2);
    expect(state().timeMs).toBe(4_500);
    player.seek(1_000);
    expect(sound.currentTime).toBe(0);
    sound.tell('seeked');
    expect(state().timeMs).toBe(1_000);
  });

  it('skips silence only on request, and only while it plays', async () => {
    const { player, sound, state } = open();
    sound.arrive(10);
    player.play();
    sound.runTo(3);
    expect(state().timeMs).toBe(3_000);
    player.setSkipsSilence(true);
    sound.runTo(3.1);
    expect(sound.currentTime).toBe(5.75);
    player.pause();
    sound.runTo(3.2);
    expect(state().timeMs).toBe(3_200);
  });

  it('starts again after the end', () => {
    const { player, sound } = open();
    sound.arrive(8);
    player.seek(8_000);
    player.toggle();
    expect(sound.currentTime).toBe(0);
    expect(sound.paused).toBe(false);
    player.toggle();
    expect(sound.paused).toBe(true);
  });

  it('changes its speed in limited steps', () => {
    const { player, sound, state } = open();
    for (let step = 0; step < 10; step++) player.stepSpeed(1);
    expect(sound.playbackRate).toBe(2);
    for (let step = 0; step < 10; step++) player.stepSpeed(-1);
    expect(state().speed).toBe(0.5);
  });

  it('reports a failure, and retries from its position', () => {
    const { player, sound, state } = open();
    sound.arrive(10);
    player.seek(4_000);
    sound.tell('error');
    expect(state().hasFailed).toBe(true);
    sound.readyState = 0;
    player.retry();
    expect([state().hasFailed, sound.loads]).toEqual([false, 1]);
    sound.currentTime = 0;
    sound.arrive(10);
    expect(sound.currentTime).toBe(4);
  });

  it('is a position in the transcript without audio', () => {
    const player = new Player();
    player.open({ source: null, wordsEndMs: 8_000, silences: [] });
    player.seek(5_000);
    player.toggle();
    const { timeMs, isPlaying, durationMs } = player.store.getState();
    expect([timeMs, isPlaying, durationMs]).toEqual([5_000, false, 8_000]);
  });

  it('keeps its position and speed with another source', () => {
    const { player, sound, leave, state } = open();
    sound.arrive(10);
    player.seek(4_000);
    player.setSpeed(1.5);
    leave();
    player.open({ source: { offsetMs: 1_000 }, wordsEndMs: 8_000, silences: [] });
    const other = new FakeSound();
    player.attach(other);
    other.arrive(20);
    expect([other.currentTime, other.playbackRate]).toEqual([3, 1.5]);
    expect(state().durationMs).toBe(21_000);
  });

  it('pauses the audio when it is detached', () => {
    const { player, sound, leave, state } = open();
    sound.arrive(10);
    player.play();
    leave();
    expect(sound.paused).toBe(true);
    expect(state().isPlaying).toBe(false);
  });
});
