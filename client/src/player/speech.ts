/** The words of a call with their times and speakers. Pure. Player, timeline and statistics use it. */
import type { Segment, Speaker } from '../api/types';

/** A period of a call; the end is exclusive. */
export interface Span {
  startMs: number;
  endMs: number;
}

/** A playable word, or a whole segment if its words have no times. */
export interface TimedWord extends Span {
  text: string;
  speaker: Speaker;
  /** From 0 to 1; null if unknown. */
  confidence: number | null;
}

/** A segment on the page, and the position of its words in `Talk.words`. */
export interface Line {
  segment: Segment;
  /** The index of its first word. */
  first: number;
  count: number;
}

/** The words of a call, in reading order. */
export interface Talk {
  lines: Line[];
  words: TimedWord[];
  /** The indices in `words` of the words of each party, sorted by time. */
  order: Record<Speaker, number[]>;
  /** The periods in which each party speaks, without echoes. */
  lanes: Record<Speaker, Span[]>;
}

/** Pauses up to this long count as speech. */
export const PAUSE_MS_MAX = 400;

/** A word is marked for at least this long: some have no duration. */
const WORD_MS_MIN = 250;

/** A word with less confidence is shown as uncertain. */
export const UNSURE_BELOW = 0.5;

export function talkOf(segments: readonly Segment[]): Talk {
  const lines: Line[] = [];
  const words: TimedWord[] = [];
  const sorted = [...segments].sort((a, b) => a.startMs - b.startMs || a.endMs - b.endMs);
  for (const segment of sorted) {
    const spoken = wordsOf(segment);
    if (spoken.length === 0 && segment.transcribed) continue;
    lines.push({ segment, first: words.length, count: spoken.length });
    words.push(...spoken);
  }
  const of = (speaker: Speaker) =>
    words
      .map((_, at) => at)
      .filter((at) => words[at]?.speaker === speaker)
      .sort((a, b) => startOf(words, a) - startOf(words, b));
  const lane = (speaker: Speaker) =>
    spansOf(
      lines
        .filter(({ segment }) => segment.speaker === speaker && !segment.echo)
        .flatMap(({ first, count }) => words.slice(first, first + count)),
      PAUSE_MS_MAX,
    );
  return {
    lines,
    words,
    order: { agent: of('agent'), customer: of('customer') },
    lanes: { agent: lane('agent'), customer: lane('customer') },
  };
}

function wordsOf(segment: Segment): TimedWord[] {
  const { speaker, text, startMs, endMs } = segment;
  if (segment.words.length > 0)
    return segment.words.map((word) => ({
      text: word.text,
      startMs: word.startMs,
      endMs: word.endMs,
      confidence: word.confidence,
      speaker,
    }));
  return text ? [{ text, startMs, endMs, confidence: null, speaker }] : [];
}

/** Sorts spans, and joins those that overlap or are at most `joinMs` apart. */
export function spansOf(parts: readonly Span[], joinMs: number): Span[] {
  const spans: Span[] = [];
  const sorted = [...parts].sort((a, b) => a.startMs - b.startMs);
  for (const { startMs, endMs } of sorted) {
    const last = spans.at(-1);
    if (last && startMs - last.endMs <= joinMs) last.endMs = Math.max(last.endMs, endMs);
    else spans.push({ startMs, endMs });
  }
  return spans;
}

export const totalMs = (spans: readonly Span[]) =>
  spans.reduce((sum, span) => sum + span.endMs - span.startMs, 0);

/** The index of the last of `count` sorted items that has started, by binary search; else -1. */
export function lastStarted(
  count: number,
  startMs: (at: number) => number,
  timeMs: number,
): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (startMs(middle) <= timeMs) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** The index of the word that a party is speaking; -1 in a pause. */
export function wordAt(talk: Talk, speaker: Speaker, timeMs: number): number {
  const order = talk.order[speaker];
  const last = lastStarted(order.length, (at) => startOf(talk.words, order[at]), timeMs);
  const index = order[last] ?? -1;
  const word = talk.words[index];
  if (!word) return -1;
  return timeMs < Math.max(word.endMs, word.startMs + WORD_MS_MIN) ? index : -1;
}

/** The indices of the words being spoken: at most one of each party. */
export const wordsAt = (talk: Talk, timeMs: number): number[] =>
  [wordAt(talk, 'agent', timeMs), wordAt(talk, 'customer', timeMs)].filter((at) => at >= 0);

/** The start of the next or previous word of either party; null if there is none. */
export function stepWord(talk: Talk, timeMs: number, by: 1 | -1): number | null {
  const starts = talk.words.map((word) => word.startMs).sort((a, b) => a - b);
  const found =
    by > 0
      ? starts.find((startMs) => startMs > timeMs)
      : starts.findLast((startMs) => startMs < timeMs);
  return found ?? null;
}

/** The minimum length of silence of both parties that is skipped. */
export const SILENCE_MS_MIN = 1_000;

/** The part of a silence kept at either end, so that no word is cut. */
export const SILENCE_EDGE_MS = 250;

/** The silences before and between words that can be skipped; none after the last word. */
export function silencesOf(talk: Talk): Span[] {
  const spans = spansOf(talk.words, 0);
  return spans
    .map(({ startMs }, at) => ({ startMs: spans[at - 1]?.endMs ?? 0, endMs: startMs }))
    .filter(({ startMs, endMs }) => endMs - startMs > SILENCE_MS_MIN);
}

/** The end of the silence to skip at this time; null: nothing to skip. */
export function skipFrom(silences: readonly Span[], timeMs: number): number | null {
  const at = lastStarted(silences.length, (index) => silences[index]?.startMs ?? 0, timeMs);
  const silence = silences[at];
  if (!silence) return null;
  const fromMs = silence.startMs === 0 ? 0 : silence.startMs + SILENCE_EDGE_MS;
  const toMs = silence.endMs - SILENCE_EDGE_MS;
  return timeMs >= fromMs && timeMs < toMs ? toMs : null;
}

const startOf = (words: readonly TimedWord[], at: number | undefined) =>
  (at === undefined ? undefined : words[at])?.startMs ?? 0;
