/**
 * What can be counted of a talk. Pure. The definitions follow those of the call analytics that
 * people know; `strings/calls.ts` says them on the page, and must say what is computed here.
 */
import type { Segment, Speaker } from '../api/types';
import { type Span, spansOf, type Talk, totalMs } from '../player/speech';

/** Who starts to speak within another's words interrupts if both speak on for as long as this. */
export const INTERRUPTS_MS = 500;

export interface Party {
  talkMs: number;
  /** Of all that was spoken, 0 to 1. */
  share: number;
  words: number;
  /** Words for each minute of own speech; null without speech. */
  wordsPerMinute: number | null;
  /** How often this party interrupted the other. */
  interruptions: number;
}

export interface Analysis {
  parties: Record<Speaker, Party>;
  /** Between the first and the last word, with neither party speaking; null if it never is so. */
  longestSilence: Span | null;
}

export function analyse(talk: Talk, segments: readonly Segment[]): Analysis {
  const lanes = { agent: talk.lanes.agent, customer: talk.lanes.customer };
  const spokenMs = totalMs(lanes.agent) + totalMs(lanes.customer);
  const party = (speaker: Speaker, other: Speaker): Party => {
    const talkMs = totalMs(lanes[speaker]);
    const words = segments
      .filter((segment) => segment.speaker === speaker && !segment.echo)
      .reduce((sum, segment) => sum + countWords(segment.text), 0);
    return {
      talkMs,
      share: spokenMs ? talkMs / spokenMs : 0,
      words,
      wordsPerMinute: talkMs ? words / (talkMs / 60_000) : null,
      interruptions: interruptions(lanes[speaker], lanes[other]),
    };
  };
  return {
    parties: { agent: party('agent', 'customer'), customer: party('customer', 'agent') },
    longestSilence: longest(gaps(spansOf([...lanes.agent, ...lanes.customer], 0))),
  };
}

/** How often one party starts within a span of the other, and both speak on. */
function interruptions(own: readonly Span[], others: readonly Span[]): number {
  return own.filter((span) =>
    others.some(
      (other) =>
        other.startMs < span.startMs &&
        Math.min(other.endMs, span.endMs) - span.startMs >= INTERRUPTS_MS,
    ),
  ).length;
}

function gaps(spans: readonly Span[]): Span[] {
  return spans.slice(1).flatMap((span, at) => {
    const before = spans[at];
    return before ? [{ startMs: before.endMs, endMs: span.startMs }] : [];
  });
}

function longest(spans: readonly Span[]): Span | null {
  const lengthMs = (span: Span) => span.endMs - span.startMs;
  return spans.reduce<Span | null>(
    (best, span) => (!best || lengthMs(span) > lengthMs(best) ? span : best),
    null,
  );
}

const countWords = (text: string) => text.split(/\s+/).filter(Boolean).length;
