import { describe, expect, it } from 'vitest';
import type { Partial, Segment, Speaker } from '../api/types';
import {
  LINES_PER_CHUNK,
  type Lines,
  withoutOpen,
  withPartial,
  withSegment,
  withSnapshot,
} from './lines';

const partial = (id: string, startMs: number, speaker: Speaker = 'agent'): Partial => ({
  segmentId: id,
  revision: 1,
  track: speaker === 'agent' ? 'inbound' : 'outbound',
  speaker,
  startMs,
  stable: '',
  unstable: id,
});

const segment = (id: string, startMs: number, text = id): Segment => ({
  id,
  track: 'inbound',
  speaker: 'agent',
  startMs,
  endMs: startMs + 500,
  text,
  words: [],
  language: 'en',
  latencyMs: 400,
  transcribed: true,
});

/** `A` final, `a` open, `-` gone. */
const shape = (lines: Lines) =>
  lines
    .flat()
    .map(({ kind, id }) => (kind === 'gone' ? '-' : kind === 'settled' ? id.toUpperCase() : id))
    .join('');

const many = (count: number) =>
  Array.from({ length: count }, (_, at) => segment(`s${at}`, at * 1_000));

describe('a line', () => {
  it('keeps its place when it becomes final', () => {
    const open = withPartial(withPartial([], partial('a', 1_000)), partial('b', 2_000, 'customer'));
    const second = withSegment(open, segment('b', 2_000));
    expect(shape(second)).toBe('aB');
    expect(shape(withSegment(second, segment('a', 1_000)))).toBe('AB');
  });

  it('goes above a line that started later, but not above a final one', () => {
    const open = withPartial([], partial('b', 2_000));
    expect(shape(withPartial(open, partial('a', 1_000)))).toBe('ab');
    const settled = withSegment(open, segment('b', 2_000));
    expect(shape(withPartial(settled, partial('a', 1_000)))).toBe('Ba');
  });

  it('is inserted by time if its final is its first event', () => {
    const lines = withSegment(withSegment([], segment('a', 1_000)), segment('c', 3_000));
    expect(shape(withSegment(lines, segment('b', 2_000)))).toBe('ABC');
  });

  it('disappears if the final is empty', () => {
    const open = withPartial(withSegment([], segment('a', 0)), partial('b', 1_000));
    const lines = withSegment(open, segment('b', 1_000, ''));
    expect(shape(lines)).toBe('A-');
    expect(shape(withPartial(lines, partial('c', 500)))).toBe('Ac-');
  });

  it('stays if words are missing', () => {
    const missing = { ...segment('a', 0, ''), transcribed: false };
    expect(shape(withSegment([], missing))).toBe('A');
  });

  it('disappears if the transcription ends while it is open', () => {
    const lines = withPartial(withSegment([], segment('a', 0)), partial('b', 1_000));
    expect(shape(withoutOpen(lines))).toBe('A-');
  });
});

describe('a snapshot', () => {
  it('sorts the lines by time at first', () => {
    const lines = withSnapshot(
      [],
      [segment('b', 2_000), segment('a', 1_000)],
      [partial('c', 1_500)],
    );
    expect(shape(lines)).toBe('AcB');
  });

  it('keeps existing lines in place, adds missed ones and removes others', () => {
    const heard = withPartial(withSegment([], segment('b', 2_000)), partial('a', 1_000));
    const before = withPartial(withSegment(heard, segment('a', 1_000)), partial('c', 3_000));
    const lines = withSnapshot(
      before,
      [segment('a', 1_000), segment('b', 2_000), segment('e', 5_000), segment('d', 4_000)],
      [],
    );
    expect(shape(lines)).toBe('BA-DE');
  });

  it('without news changes nothing', () => {
    const segments = many(60);
    const lines = withSnapshot([], segments, []);
    const again = withSnapshot(lines, structuredClone(segments), []);
    for (const [at, chunk] of again.entries()) expect(chunk).toBe(lines[at]);
  });
});

describe('chunks', () => {
  it('are full except the last, and unchanged ones stay the same object', () => {
    const lines = withSnapshot([], many(2 * LINES_PER_CHUNK + 3), []);
    expect(lines.map(({ length }) => length)).toEqual([LINES_PER_CHUNK, LINES_PER_CHUNK, 3]);
    const more = withPartial(lines, partial('p', 1e9));
    expect(more[0]).toBe(lines[0]);
    expect(more[1]).toBe(lines[1]);
    const changed = withPartial(more, { ...partial('p', 1e9), revision: 2 });
    expect(changed[1]).toBe(lines[1]);
    expect(changed[2]?.slice(0, 3)).toEqual(lines[2]);
  });

  it('start after a full chunk', () => {
    const lines = withSnapshot([], many(LINES_PER_CHUNK), []);
    const more = withPartial(lines, partial('p', 1e9));
    expect(more[0]).toBe(lines[0]);
    expect(more[1]).toHaveLength(1);
  });
});
