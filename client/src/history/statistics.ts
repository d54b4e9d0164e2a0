/**
 * Computes statistics of a conversation. Pure. The definitions are those of common call analytics;
 * `strings/calls.ts` explains them on the page and must match what is computed here.
 */
import type { Segment, Speaker } from '../api/types';
import { type Span, spansOf, type Talk, totalMs } from '../player/speech';

/** An interruption: both parties continue to speak for at least this long. */
export const INTERRUPTS_MS = 500;

export interface PartyStats {
  talkMs: number;
  /** The share of all talk time, from 0 to 1. */
  share: number;
  words: number;
  /** Words per minute of own speech; null without speech. */
  wordsPerMinute: number | null;
  /** The number of times that this party interrupted the other. */
  interruptions: number;
}

export interface TalkStats {
  parties: Record<Speaker, PartyStats>;
  /** The longest time without speech between the first and the last word; null if there is none. */
  longestSilence: Span | null;
}

export function statsOf(talk: Talk, segments: readonly Segment[]): TalkStats {
  const lanes = { agent: talk.lanes.agent, customer: talk.lanes.customer };
  const spokenMs = totalMs(lanes.agent) + totalMs(lanes.customer);
  const party = (speaker: Speaker, other: Speaker): PartyStats => {
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

/** Counts the spans of one party that start within a span of the other and overlap long enough. */
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
