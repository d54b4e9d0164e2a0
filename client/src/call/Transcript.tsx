/**
 * The words of a call, both sides. Every word is on the page, so that it can be selected and found;
 * what did not change is not drawn anew, and what is out of sight is not laid out.
 */
import { type KeyboardEvent, memo, type ReactNode } from 'react';
import { clockTime } from '../format';
import { type Chunk, type Line, type Lines, lastShown } from '../live/lines';
import { t } from '../strings';
import { HiddenText, IconButton } from '../ui/controls';
import { copyText } from './copy';
import type { Marker } from './keywords';
import css from './Transcript.module.css';
import type { Names } from './useCallRecord';

/** Two that speak at once for less than this take turns. */
const OVERLAP_MS_MIN = 300;

export function SegmentList({
  lines,
  names,
  marker,
}: {
  lines: Lines;
  names: Names;
  /** Marks keywords. */
  marker?: Marker | undefined;
}) {
  const entry = lines.flatMap((chunk) => chunk.findLast(isSettled) ?? []).at(-1)?.id;
  let before: Line | undefined;
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: arrows go from one copy button to the next
    <div className={css.list} onKeyDown={moveFocus}>
      {lines.map((chunk, at) => {
        const previous = before;
        before = lastShown(chunk) ?? before;
        return (
          <ChunkView
            // biome-ignore lint/suspicious/noArrayIndexKey: a chunk never moves
            key={at}
            chunk={chunk}
            before={previous}
            entry={chunk.some(({ id }) => id === entry) ? entry : undefined}
            names={names}
            marker={marker}
          />
        );
      })}
    </div>
  );
}

interface Shared {
  names: Names;
  marker?: Marker | undefined;
}

const ChunkView = memo(function ChunkView({
  chunk,
  before,
  entry,
  ...shared
}: Shared & {
  chunk: Chunk;
  /** The shown line above the chunk. */
  before: Line | undefined;
  /** The line whose button Tab goes to: the latest of all. */
  entry: string | undefined;
}) {
  let previous = before;
  return (
    <div className={css.chunk}>
      {chunk.map((line) => {
        if (line.kind === 'gone') return null;
        const above = previous;
        previous = line;
        return (
          <LineView
            key={line.id}
            line={line}
            opens={above?.speaker !== line.speaker}
            isOver={above !== undefined && isOver(above, line)}
            isEntry={line.id === entry}
            {...shared}
          />
        );
      })}
    </div>
  );
});

/** One node from the first partial to the final and beyond. */
const LineView = memo(function LineView({
  line,
  opens,
  isOver,
  isEntry,
  names,
  marker,
}: Shared & {
  line: Exclude<Line, { kind: 'gone' }>;
  /** Another one spoke before. */
  opens: boolean;
  /** The other one was still speaking. */
  isOver: boolean;
  isEntry: boolean;
}) {
  const name = names[line.speaker];
  const time = clockTime(line.startMs);
  return (
    <div
      className={css.line}
      data-segment={line.id}
      data-speaker={line.speaker}
      data-state={line.kind}
      data-opens={opens || undefined}
    >
      <span className={css.time}>{time}</span>
      <div className={css.bubble}>
        {opens && (
          <p className={css.name}>
            {name}
            {isOver && <span className={css.over}>{t.call.words.atOnce}</span>}
          </p>
        )}
        <p className={css.text}>{wordsOf(line, marker)}</p>
      </div>
      {line.kind === 'settled' && line.segment.transcribed && (
        <IconButton
          className={css.copy ?? ''}
          icon="copy"
          label={t.call.words.copy(name, time)}
          tabIndex={isEntry ? 0 : -1}
          onClick={() => copyText(line.segment.text)}
        />
      )}
    </div>
  );
});

function wordsOf(line: Exclude<Line, { kind: 'gone' }>, marker: Marker | undefined): ReactNode {
  switch (line.kind) {
    case 'open': {
      const { stable, unstable } = line.partial;
      return (
        <>
          {stable}
          {stable && unstable && ' '}
          <span className={css.unstable}>{unstable}</span>
          <HiddenText> ({t.call.words.unsettled})</HiddenText>
        </>
      );
    }
    case 'settled': {
      const { text, transcribed, language } = line.segment;
      if (!transcribed) return <span className={css.missing}>{t.call.words.missing}</span>;
      return <span lang={language || undefined}>{marker ? marked(text, marker) : text}</span>;
    }
    default:
      return line satisfies never;
  }
}

function marked(text: string, marker: Marker): ReactNode[] {
  return marker(text).map((piece, at) =>
    piece.keyword === null ? (
      piece.text
    ) : (
      // biome-ignore lint/suspicious/noArrayIndexKey: the pieces of a settled text stay
      <mark key={at}>{piece.text}</mark>
    ),
  );
}

const isSettled = (line: Line) => line.kind === 'settled';

/** Whether the second spoke while the first still did. One that is open may just be late. */
function isOver(first: Line, second: Line): boolean {
  if (first.kind !== 'settled' || first.speaker === second.speaker) return false;
  return first.segment.endMs - second.startMs >= OVERLAP_MS_MIN;
}

/** Among 2,000 buttons Tab stops at one; arrows go on from it. */
function moveFocus(event: KeyboardEvent<HTMLDivElement>) {
  if (event.key !== 'ArrowUp' && event.key !== 'ArrowDown') return;
  if (!(event.target instanceof HTMLButtonElement)) return;
  event.preventDefault();
  const buttons = [...event.currentTarget.querySelectorAll('button')];
  const at = buttons.indexOf(event.target) + (event.key === 'ArrowUp' ? -1 : 1);
  buttons[at]?.focus();
}
