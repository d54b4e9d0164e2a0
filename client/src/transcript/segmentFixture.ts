/** Builds segments for tests. */
import type { Segment } from '../api/types';

/** The segment that starts at the second `at`. */
export const segment = (at: number, more: Partial<Segment> = {}): Segment => ({
  id: `s${at}`,
  track: 'inbound',
  speaker: 'agent',
  startMs: at * 1_000,
  endMs: at * 1_000 + 900,
  text: `words ${at}`,
  words: [],
  language: 'en',
  latencyMs: 500,
  transcribed: true,
  ...more,
});
