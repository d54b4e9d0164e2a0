/** Statistics of a live call. Pure. */
import type { Segment } from '../api/types';
import { isShown, type Lines } from '../live/lines';

/** The shown delay is the median of this many finals, so that one slow final has no effect. */
export const LAG_FINALS = 9;

/** The recent delay between speech and final words; undefined before the first final. */
export function lagMsOf(segments: readonly Segment[]): number | undefined {
  const latest: number[] = [];
  for (let at = segments.length - 1; at >= 0 && latest.length < LAG_FINALS; at--) {
    const segment = segments[at];
    if (segment?.transcribed) latest.push(segment.latencyMs);
  }
  return latest.sort((a, b) => a - b)[Math.floor(latest.length / 2)];
}

/** Formats milliseconds as seconds: `0.6`, `12`. */
export function secondsOf(ms: number): string {
  const seconds = ms / 1_000;
  return seconds < 10 ? seconds.toFixed(1) : String(Math.round(seconds));
}

/** The number of lines that are shown. */
export const countLines = (segments: readonly Segment[]) =>
  segments.reduce((count, segment) => count + Number(isShown(segment)), 0);

/** The number of words, without echoes, which repeat words of the other party. */
export const countWords = (segments: readonly Segment[]) =>
  segments
    .filter(({ echo }) => !echo)
    .reduce((count, { text }) => count + (text.match(/\S+/g)?.length ?? 0), 0);

/** The final segments in page order. */
export const finalSegments = (lines: Lines): Segment[] =>
  lines.flat().flatMap((line) => (line.kind === 'settled' ? [line.segment] : []));
