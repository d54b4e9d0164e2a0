import { describe, expect, it } from 'vitest';
import { findIn, MATCHES_MAX } from './find';
import { utterance } from './segmentFixture';
import { talkOf } from './speech';

const line = (startMs: number, text: string) =>
  utterance(
    'agent',
    text.split(' ').map((word, at) => [word, startMs + at, startMs + at] as const),
  );
const TALK = talkOf([line(0, 'The café, the the cafeteria.'), line(100, 'Never the')]);
const found = (query: string) =>
  findIn(TALK, query).map(({ first, last }) =>
    TALK.words
      .slice(first, last + 1)
      .map((word) => word.text)
      .join(' '),
  );

describe('matches in a transcript', () => {
  it('ignore case and accents, and include parts of words', () => {
    expect(found('CAFE')).toEqual(['café,', 'cafeteria.']);
    expect(found('the')).toEqual(['The', 'the', 'the', 'the']);
  });

  it('may span words, but not segments', () => {
    expect(found(' the   the ')).toEqual(['the the']);
    expect(found('cafeteria. never')).toEqual([]);
    expect(found('e c')).toEqual(['The café,', 'the cafeteria.']);
  });

  it('are none for an empty query', () => {
    expect(found('')).toEqual([]);
    expect(found('  ')).toEqual([]);
    expect(found('.*')).toEqual([]);
  });

  it('are limited in number', () => {
    const much = talkOf([line(0, 'a '.repeat(3_000).trim())]);
    expect(findIn(much, 'a')).toHaveLength(MATCHES_MAX);
  });
});
