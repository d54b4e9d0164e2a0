/** Finds keywords in transcripts. Pure. */

/** A piece of a text, which may be a keyword. */
export interface Piece {
  text: string;
  /** As the user entered it, whatever its case in the text. */
  keyword: string | null;
}

/** Splits a text at its keywords. */
export type Marker = (text: string) => readonly Piece[];

const letter = '[\\p{L}\\p{N}]';
const escaped = (word: string) => word.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&');

/**
 * Builds a marker that finds whole words in any case; undefined without keywords. Of two keywords
 * that match at the same position, the longer one wins.
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

/** Counts each keyword that occurs, in the order of the list. */
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

/** Tells for each word whether it belongs to a keyword, which may consist of several words. */
export function wordsMarked(words: readonly string[], marker: Marker): boolean[] {
  const marked: boolean[] = [];
  // For each character of the joined text: whether it belongs to a keyword.
  const isInKeyword = marker(words.join(' ')).flatMap(({ text, keyword }) =>
    Array.from({ length: text.length }, () => keyword !== null),
  );
  let from = 0;
  for (const { length } of words) {
    marked.push(isInKeyword.slice(from, from + length).includes(true));
    from += length + 1;
  }
  return marked;
}

const folded = (word: string) => word.toLocaleLowerCase().replace(/\s+/g, ' ');
