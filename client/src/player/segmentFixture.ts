/** Builds segments for tests. */
import type { Segment, Speaker } from '../api/types';

/** `utterance('agent', [['Hello', 0, 300], ['there', 300, 600]])`. */
export function utterance(
  speaker: Speaker,
  words: readonly (readonly [text: string, startMs: number, endMs: number, confidence?: number])[],
): Segment {
  const startMs = words[0]?.[1] ?? 0;
  return {
    id: `${speaker}-${startMs}`,
    track: speaker === 'agent' ? 'inbound' : 'outbound',
    speaker,
    startMs,
    endMs: words.at(-1)?.[2] ?? startMs,
    text: words.map(([text]) => text).join(' '),
    words: words.map(([text, startMs, endMs, confidence = 1]) => ({
      text,
      startMs,
      endMs,
      confidence,
    })),
    language: 'en',
    latencyMs: 0,
    transcribed: true,
  };
}
