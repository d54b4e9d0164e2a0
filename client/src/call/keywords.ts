/** Finds the words that one looks out for. Pure. */

/** A stretch of a text; whether it is a keyword. */
export interface Piece {
  text: string;
  /** As it was chosen, however it is written here. */
  keyword: string | null;
}

/** Cuts texts at their keywords. */
export type Marker = (text: string) => readonly Piece[];

const letter = '[\\p{L}\\p{N}]';
const escaped = (word: string) => word.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&');

/**
 * Looks for whole words, in upper or lower case. Undefined where there are none to look for. Of two
 * that begin at the same place the longer one counts.
 */
export function markerOf(keywords: readonly string[]): Marker | undefined {
  if (keywords.length === 0) return undefined;
  const byFolded = new Map(keywords.map((word) => [folded(word), word]));
  const longestFirst = [...keywords].sort((a, b) => b.length - a.length);
  const pattern = longestFirst.map((word) => escaped(word).replaceAll(' ', '\\s+')).join('|');
  const finder = new RegExp(`(?<!${letter})(?:${pattern})(?!${letter})`, 'giu');
  return (text) => {
    const pieces: Piece[] = [];
    let from = 0;
    for (const match of text.matchAll(finder)) {
      if (match.index > from) pieces.push({ text: text.slice(from, match.index), keyword: null });
      const found = match[0];
      pieces.push({ text: found, keyword: byFolded.get(folded(found)) ?? found });
      from = match.index + found.length;
    }
    if (from < text.length) pieces.push({ text: text.slice(from), keyword: null });
    return pieces;
  };
}

/** How often each keyword was said; those that were not are not there. In the order of the list. */
export function countKeywords(
  keywords: readonly string[],
  marker: Marker,
  texts: readonly string[],
): { keyword: string; times: number }[] {
  const times = new Map<string, number>();
  for (const text of texts)
    for (const { keyword } of marker(text))
      if (keyword !== null) times.set(keyword, (times.get(keyword) ?? 0) + 1);
  return keywords.flatMap((keyword) => {
    const found = times.get(keyword);
    return found ? [{ keyword, times: found }] : [];
  });
}

/** Which of the words that make up a text are of a keyword; one may be of several words. */
export function wordsMarked(words: readonly string[], marker: Marker): boolean[] {
  const marked: boolean[] = [];
  // Every letter of the text, and every gap: whether it is of a keyword.
  const isOf = marker(words.join(' ')).flatMap(({ text, keyword }) =>
    Array.from({ length: text.length }, () => keyword !== null),
  );
  let from = 0;
  for (const { length } of words) {
    marked.push(isOf.slice(from, from + length).includes(true));
    from += length + 1;
  }
  return marked;
}

const folded = (word: string) => word.toLocaleLowerCase().replace(/\s+/g, ' ');
