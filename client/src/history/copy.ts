/** Puts text where it can be pasted, and says so. */

import type { Names } from '../call/TranscriptLine';
import { clockTime } from '../format';
import type { Talk } from '../player/speech';
import { t } from '../strings';
import { complain, say } from '../ui/toasts';

export async function copyText(text: string, done: string) {
  try {
    await navigator.clipboard.writeText(text);
    say(done);
  } catch {
    // Not allowed, or not a secure page.
    complain(t.calls.transcript.copyFailed);
  }
}

/** A transcript as people paste it: time, name and words of each line. */
export const asText = (talk: Talk, names: Names) =>
  talk.lines
    .filter(({ segment }) => segment.text)
    .map(
      ({ segment }) => `[${clockTime(segment.startMs)}] ${names[segment.speaker]}: ${segment.text}`,
    )
    .join('\n');
