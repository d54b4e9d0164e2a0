/** Looks for words within one transcript. Pure. */
import type { Talk } from './speech';

/** Words, by their places in the transcript; `last` is one of them. */
export interface Match {
  first: number;
  last: number;
}

/** More are not counted. */
export const MATCHES_MAX = 999;

/**
 * Where `query` stands, within one segment each: without regard to case, accents, or how many
 * spaces there are. Any part of a word counts, as in the browser's own search.
 */
export function findIn(talk: Talk, query: string): Match[] {
  const needle = fold(query).trim().replace(/\s+/g, ' ');
  const matches: Match[] = [];
  if (!needle) return matches;
  for (const { first, count } of talk.lines) {
    const words = talk.words.slice(first, first + count).map((word) => fold(word.text));
    const text = words.join(' ');
    // Where each word ends in `text`, the space after it not counted.
    const ends: number[] = [];
    for (const word of words) ends.push((ends.at(-1) ?? -1) + 1 + word.length);
    let from = text.indexOf(needle);
    while (from >= 0) {
      if (matches.length >= MATCHES_MAX) return matches;
      const to = from + needle.length;
      const wordAt = (offset: number) => ends.findIndex((end) => offset < end);
      matches.push({ first: first + wordAt(from), last: first + wordAt(to - 1) });
      from = text.indexOf(needle, to);
    }
  }
  return matches;
}

const fold = (text: string) =>
  text
    .normalize('NFD')
    .replace(/\p{Diacritic}/gu, '')
    .toLocaleLowerCase();
