/** The search within one transcript. Pure. */
import type { Talk } from './speech';

/** A range of words by index, including `last`. */
export interface Match {
  first: number;
  last: number;
}

/** The maximum number of matches. */
export const MATCHES_MAX = 999;

/**
 * Finds `query` within single segments, ignoring case, accents and the number of spaces. Parts of
 * words match, as in the search of the browser.
 */
export function findIn(talk: Talk, query: string): Match[] {
  const needle = fold(query).trim().replace(/\s+/g, ' ');
  const matches: Match[] = [];
  if (!needle) return matches;
  for (const { first, count } of talk.lines) {
    const words = talk.words.slice(first, first + count).map((word) => fold(word.text));
    const text = words.join(' ');
    // The end of each word in `text`, without the space after it.
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
