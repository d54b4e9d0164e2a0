/** Who speaks when, word by word. Pure: this is what player, timeline and figures look things up in. */
import type { Segment, Speaker } from '../api/types';

/** A stretch of a call. The end is not part of it. */
export interface Span {
  startMs: number;
  endMs: number;
}

/** Something that one can click to hear it: a word, or a segment whose words have no times. */
export interface Spoken extends Span {
  text: string;
  speaker: Speaker;
  /** 0 to 1; null when nobody says. */
  confidence: number | null;
}

/** A segment on the page, and where its words stand among all of the call. */
export interface Line {
  segment: Segment;
  /** Of its first word, in `Talk.words`. */
  first: number;
  count: number;
}

/** A call's words, in the order in which they are read. */
export interface Talk {
  lines: Line[];
  words: Spoken[];
  /** The places of each party's words in `words`, in order of time. */
  order: Record<Speaker, number[]>;
  /** When each party speaks, echoes of the other aside. */
  lanes: Record<Speaker, Span[]>;
}

/** Words closer than this are one breath. */
export const BREATH_MS = 400;

/** A word is shown as spoken for at least this long: some have no length. */
const WORD_MS_MIN = 250;

/** Below this the recogniser guessed. */
export const UNSURE_BELOW = 0.5;

export function talkOf(segments: readonly Segment[]): Talk {
  const lines: Line[] = [];
  const words: Spoken[] = [];
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
      BREATH_MS,
    );
  return {
    lines,
    words,
    order: { agent: of('agent'), customer: of('customer') },
    lanes: { agent: lane('agent'), customer: lane('customer') },
  };
}

function wordsOf(segment: Segment): Spoken[] {
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

/** Joins what overlaps or lies closer than `joinMs`; in order of time. */
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

/**
 * The last of `count` things in order of time that has begun; -1 before the first. Half of what is
 * left falls away with each look.
 */
export function lastBegun(count: number, startMs: (at: number) => number, timeMs: number): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (startMs(middle) <= timeMs) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** The word that a party is speaking, as its place in `words`; -1 in a pause. */
export function wordAt(talk: Talk, speaker: Speaker, timeMs: number): number {
  const order = talk.order[speaker];
  const last = lastBegun(order.length, (at) => startOf(talk.words, order[at]), timeMs);
  const place = order[last] ?? -1;
  const word = talk.words[place];
  if (!word) return -1;
  return timeMs < Math.max(word.endMs, word.startMs + WORD_MS_MIN) ? place : -1;
}

/** What is being spoken: up to one word of each party. */
export const wordsAt = (talk: Talk, timeMs: number): number[] =>
  [wordAt(talk, 'agent', timeMs), wordAt(talk, 'customer', timeMs)].filter((at) => at >= 0);

/** Where the next word begins, of whichever party, or the one before; null when there is none. */
export function stepWord(talk: Talk, timeMs: number, by: 1 | -1): number | null {
  const starts = talk.words.map((word) => word.startMs).sort((a, b) => a - b);
  const found =
    by > 0
      ? starts.find((startMs) => startMs > timeMs)
      : starts.findLast((startMs) => startMs < timeMs);
  return found ?? null;
}

/** Silence this long, of both parties, is worth skipping. */
export const SILENCE_MS_MIN = 1_000;

/** What is left of a silence at either end, so that no word is cut. */
export const SILENCE_EDGE_MS = 250;

/** The silences before and between words that can be skipped. What follows the last word cannot. */
export function silencesOf(talk: Talk): Span[] {
  const spans = spansOf(talk.words, 0);
  return spans
    .map(({ startMs }, at) => ({ startMs: spans[at - 1]?.endMs ?? 0, endMs: startMs }))
    .filter(({ startMs, endMs }) => endMs - startMs > SILENCE_MS_MIN);
}

/** Where to go on from here when silence is skipped; null: from here. */
export function skipFrom(silences: readonly Span[], timeMs: number): number | null {
  const at = lastBegun(silences.length, (place) => silences[place]?.startMs ?? 0, timeMs);
  const silence = silences[at];
  if (!silence) return null;
  const fromMs = silence.startMs === 0 ? 0 : silence.startMs + SILENCE_EDGE_MS;
  const toMs = silence.endMs - SILENCE_EDGE_MS;
  return timeMs >= fromMs && timeMs < toMs ? toMs : null;
}

const startOf = (words: readonly Spoken[], at: number | undefined) =>
  (at === undefined ? undefined : words[at])?.startMs ?? 0;
