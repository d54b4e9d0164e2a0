import { describe, expect, it } from 'vitest';
import { utterance } from './segmentFixture';
import {
  lastStarted,
  SILENCE_EDGE_MS,
  silencesOf,
  skipFrom,
  spansOf,
  stepWord,
  talkOf,
  totalMs,
  wordAt,
  wordsAt,
} from './speech';

const TALK = talkOf([
  utterance('customer', [
    ['Yes', 1_200, 1_200],
    ['please', 1_400, 1_900],
  ]),
  utterance('agent', [
    ['Hello', 1_000, 1_500],
    ['you', 1_500, 1_600],
  ]),
  utterance('agent', [['Bye', 6_000, 6_400]]),
]);
const textsAt = (timeMs: number) => wordsAt(TALK, timeMs).map((at) => TALK.words[at]?.text);

/** A deterministic random number generator. */
function* chances(seed: number) {
  let state = seed;
  while (true) {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    yield state / 2_147_483_648;
  }
}

describe('words by time', () => {
  it('are in the order in which their segments start', () => {
    expect(TALK.words.map((word) => word.text)).toEqual(['Hello', 'you', 'Yes', 'please', 'Bye']);
    expect(TALK.lines.map(({ first, count }) => [first, count])).toEqual([
      [0, 2],
      [2, 2],
      [4, 1],
    ]);
  });

  it('are found for both parties at once, even without a duration', () => {
    expect(textsAt(999)).toEqual([]);
    expect(textsAt(1_000)).toEqual(['Hello']);
    expect(textsAt(1_300)).toEqual(['Hello', 'Yes']);
    expect(textsAt(1_500)).toEqual(['you', 'please']);
    expect(textsAt(3_000)).toEqual([]);
    expect(textsAt(6_399)).toEqual(['Bye']);
    expect(textsAt(60_000)).toEqual([]);
  });

  it('can be stepped through, across speakers', () => {
    const steps = [];
    for (let at: number | null = 0; at !== null; at = stepWord(TALK, at, 1)) steps.push(at);
    expect(steps).toEqual([0, 1_000, 1_200, 1_400, 1_500, 6_000]);
    expect(stepWord(TALK, 1_400, -1)).toBe(1_200);
    expect(stepWord(TALK, 1_000, -1)).toBe(null);
  });

  it('are found as by a linear search', () => {
    const chance = chances(7);
    const next = () => Math.floor((chance.next().value ?? 0) * 1_000);
    for (let round = 0; round < 200; round++) {
      const starts = Array.from({ length: round % 20 }, next).sort((a, b) => a - b);
      const timeMs = next();
      const slow = starts.findLastIndex((start) => start <= timeMs);
      expect(lastStarted(starts.length, (at) => starts[at] ?? 0, timeMs)).toBe(slow);
    }
  });

  it('of a segment without word times are the segment itself', () => {
    const bare = { ...utterance('agent', [['x', 500, 900]]), words: [], text: 'all of it' };
    const talk = talkOf([bare]);
    expect(talk.words).toEqual([
      { text: 'all of it', startMs: 500, endMs: 900, confidence: null, speaker: 'agent' },
    ]);
    expect(wordAt(talk, 'agent', 700)).toBe(0);
  });

  it('that are missing leave a line, and empty segments leave none', () => {
    const nothing = { ...utterance('agent', [['x', 0, 1]]), words: [], text: '' };
    expect(talkOf([nothing]).lines).toHaveLength(0);
    expect(talkOf([{ ...nothing, transcribed: false }]).lines).toHaveLength(1);
  });
});

describe('spans', () => {
  it('cover their parts, disjoint and in order', () => {
    const chance = chances(11);
    const next = () => chance.next().value ?? 0;
    for (let round = 0; round < 200; round++) {
      const parts = Array.from({ length: round % 12 }, () => {
        const startMs = Math.floor(next() * 5_000);
        return { startMs, endMs: startMs + Math.floor(next() * 900) };
      });
      const joinMs = round % 3 === 0 ? 0 : 300;
      const spans = spansOf(parts, joinMs);
      for (const part of parts)
        expect(spans.some((span) => span.startMs <= part.startMs && part.endMs <= span.endMs)).toBe(
          true,
        );
      spans.slice(1).forEach((span, at) => {
        expect(span.startMs - (spans[at]?.endMs ?? 0)).toBeGreaterThan(joinMs);
      });
      expect(spansOf(spans, joinMs)).toEqual(spans);
    }
  });

  it('have a total length', () => {
    expect(totalMs(TALK.lanes.agent)).toBe(600 + 400);
  });
});

describe('silence', () => {
  const SILENCES = silencesOf(TALK);

  it('is more than a second without speech of either party', () => {
    expect(SILENCES).toEqual([{ startMs: 1_900, endMs: 6_000 }]);
    const late = talkOf([utterance('agent', [['Hi', 1_001, 1_002]])]);
    expect(silencesOf(late)).toEqual([{ startMs: 0, endMs: 1_001 }]);
  });

  it('is skipped once, up to shortly before the next word', () => {
    expect(skipFrom(SILENCES, 1_950)).toBe(null);
    const to = skipFrom(SILENCES, 1_900 + SILENCE_EDGE_MS);
    expect(to).toBe(6_000 - SILENCE_EDGE_MS);
    expect(skipFrom(SILENCES, to ?? 0)).toBe(null);
    expect(skipFrom(SILENCES, 6_100)).toBe(null);
    expect(skipFrom([], 10)).toBe(null);
  });
});
