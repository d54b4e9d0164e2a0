import { describe, expect, it } from 'vitest';
import { findIn, MATCHES_MAX } from './find';
import { say } from './fixture';
import { talkOf } from './speech';

const line = (startMs: number, text: string) =>
  say(
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

describe('words in a transcript', () => {
  it('are found in any part, without regard to case and accents', () => {
    expect(found('CAFE')).toEqual(['café,', 'cafeteria.']);
    expect(found('the')).toEqual(['The', 'the', 'the', 'the']);
  });

  it('are found across words, but not across segments', () => {
    expect(found(' the   the ')).toEqual(['the the']);
    expect(found('cafeteria. never')).toEqual([]);
    expect(found('e c')).toEqual(['The café,', 'the cafeteria.']);
  });

  it('are none for nothing', () => {
    expect(found('')).toEqual([]);
    expect(found('  ')).toEqual([]);
    expect(found('.*')).toEqual([]);
  });

  it('are counted up to a limit', () => {
    const much = talkOf([line(0, 'a '.repeat(3_000).trim())]);
    expect(findIn(much, 'a')).toHaveLength(MATCHES_MAX);
  });
});
