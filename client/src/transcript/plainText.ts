/** A transcript as plain text, for the clipboard and for screen readers. Pure. */
import type { Segment } from '../api/types';
import type { Names } from '../callRecord/party';
import { clockTime } from '../format/time';
import { t } from '../strings';

/** The text of a segment, with a notice where words are missing. */
export const textOf = ({ text, transcribed }: Segment): string =>
  [text, transcribed ? '' : t.call.words.missing].filter(Boolean).join(' ');

/** One line for each segment: time, speaker and text. */
export const asText = (segments: readonly Segment[], names: Names): string =>
  segments
    .map((segment) => {
      const name = names[segment.speaker];
      const who = segment.echo ? t.call.words.echoOn(name) : name;
      return t.call.words.line(clockTime(segment.startMs), who, textOf(segment));
    })
    .join('\n');
