/** One utterance of a transcript, live or stored: its time, its speaker and its words. */
import type { ReactNode } from 'react';
import type { Speaker } from '../api/types';
import { t } from '../strings';
import css from './TranscriptLine.module.css';

/** A shorter overlap counts as taking turns. */
const OVERLAP_MS_MIN = 300;

export function TranscriptLine({
  id,
  speaker,
  name,
  time,
  isOpen = false,
  overlaps = false,
  isMissing = false,
  isEcho = false,
  language,
  action,
  children,
}: {
  id: string;
  speaker: Speaker;
  /** Undefined: the same speaker as in the line above. */
  name: string | undefined;
  time: ReactNode;
  /** Not final yet. */
  isOpen?: boolean;
  /** The other party was still speaking. */
  overlaps?: boolean;
  /** Some or all words are missing. */
  isMissing?: boolean;
  /** The words are an echo of the other party. */
  isEcho?: boolean | undefined;
  language?: string | undefined;
  /** A button after the words. */
  action?: ReactNode;
  children?: ReactNode;
}) {
  return (
    <div
      className={css.line}
      data-segment={id}
      data-speaker={speaker}
      data-state={isOpen ? 'open' : 'settled'}
      data-opens={name !== undefined || undefined}
      data-echo={isEcho || undefined}
    >
      <span className={css.time}>{time}</span>
      <div className={css.bubble}>
        {(name !== undefined || isEcho) && (
          <p className={css.name}>
            {name} {isEcho && <span className={css.over}>{t.call.words.echo}</span>}
            {overlaps && <span className={css.over}>{t.call.words.atOnce}</span>}
          </p>
        )}
        {children && (
          <p className={css.text} lang={language || undefined}>
            {children}
          </p>
        )}
        {isMissing && <p className={css.missing}>{t.call.words.missing}</p>}
      </div>
      {action}
    </div>
  );
}

interface Utterance {
  speaker: Speaker;
  startMs: number;
  endMs: number;
  echo?: boolean;
}

/** Whether the second utterance started while the first was still being spoken. */
export const doOverlap = (
  first: Utterance | undefined,
  second: Omit<Utterance, 'endMs'>,
): boolean =>
  first !== undefined &&
  !first.echo &&
  !second.echo &&
  first.speaker !== second.speaker &&
  first.endMs - second.startMs >= OVERLAP_MS_MIN;
