/** What is counted of a live call. Pure. */
import type { Segment } from '../api/types';
import { clockTime } from '../format';
import { isShown, type Lines } from '../live/lines';
import { t } from '../strings';
import type { Names } from './TranscriptLine';

/** The shown lag is the median of this many finals: one slow one says little. */
export const LAG_FINALS = 9;

/** How long after they are said words have settled lately; undefined before there are any. */
export function lagMsOf(segments: readonly Segment[]): number | undefined {
  const latest: number[] = [];
  for (let at = segments.length - 1; at >= 0 && latest.length < LAG_FINALS; at--) {
    const segment = segments[at];
    if (segment?.transcribed) latest.push(segment.latencyMs);
  }
  return latest.sort((a, b) => a - b)[Math.floor(latest.length / 2)];
}

/** Seconds as people say them: `0.6`, `12`. */
export function secondsOf(ms: number): string {
  const seconds = ms / 1_000;
  return seconds < 10 ? seconds.toFixed(1) : String(Math.round(seconds));
}

export const countShown = (segments: readonly Segment[]) =>
  segments.reduce((count, segment) => count + Number(isShown(segment)), 0);

/** Each word once: an echo is of words that are counted where they were said. */
export const countWords = (segments: readonly Segment[]) =>
  segments
    .filter(({ echo }) => !echo)
    .reduce((count, { text }) => count + (text.match(/\S+/g)?.length ?? 0), 0);

/** The settled words, in the order in which they stand on the page. */
export const settledIn = (lines: Lines): Segment[] =>
  lines.flat().flatMap((line) => (line.kind === 'settled' ? [line.segment] : []));

/** The words of one, and whether some are missing. */
export const saidIn = ({ text, transcribed }: Segment): string =>
  [text, transcribed ? '' : t.call.words.missing].filter(Boolean).join(' ');

/** Words as people paste them: time, name and words of each line. */
export const asText = (segments: readonly Segment[], names: Names): string =>
  segments
    .map((segment) => {
      const name = names[segment.speaker];
      const who = segment.echo ? t.call.words.echoOn(name) : name;
      return t.call.words.line(clockTime(segment.startMs), who, saidIn(segment));
    })
    .join('\n');
