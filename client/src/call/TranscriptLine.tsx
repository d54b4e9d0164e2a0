/** One utterance as it stands in a transcript, live or stored: when it began, who speaks, the words. */
import type { ReactNode } from 'react';
import type { Speaker } from '../api/types';
import { t } from '../strings';
import css from './TranscriptLine.module.css';

/** What each party is called. */
export type Names = Readonly<Record<Speaker, string>>;

/** Two that speak at once for less than this take turns. */
const OVERLAP_MS_MIN = 300;

export function TranscriptLine({
  id,
  speaker,
  name,
  time,
  isOpen = false,
  isOver = false,
  isMissing = false,
  isEcho = false,
  language,
  action,
  children,
}: {
  id: string;
  speaker: Speaker;
  /** Undefined: the speaker of the line above speaks on. */
  name: string | undefined;
  time: ReactNode;
  /** Still being spoken. */
  isOpen?: boolean;
  /** The other one was still speaking. */
  isOver?: boolean;
  /** Words are missing, all or some. */
  isMissing?: boolean;
  /** These are the other one's words. */
  isEcho?: boolean | undefined;
  language?: string | undefined;
  /** Behind the words. */
  action?: ReactNode;
  /** The words. */
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
            {isOver && <span className={css.over}>{t.call.words.atOnce}</span>}
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

interface Said {
  speaker: Speaker;
  startMs: number;
  endMs: number;
  echo?: boolean;
}

/** Whether the second spoke while the first still did. */
export const isAtOnce = (first: Said | undefined, second: Omit<Said, 'endMs'>): boolean =>
  first !== undefined &&
  !first.echo &&
  !second.echo &&
  first.speaker !== second.speaker &&
  first.endMs - second.startMs >= OVERLAP_MS_MIN;
