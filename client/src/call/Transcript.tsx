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
import { isAtOnce, type Names, TranscriptLine } from './TranscriptLine';

/** A line that is shown. */
type Shown = Exclude<Line, { kind: 'gone' }>;

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
            isOver={isOver(above, line)}
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
  line: Shown;
  /** Another one spoke before. */
  opens: boolean;
  /** The other one was still speaking. */
  isOver: boolean;
  isEntry: boolean;
}) {
  const name = names[line.speaker];
  const time = clockTime(line.startMs);
  const segment = line.kind === 'settled' ? line.segment : undefined;
  return (
    <TranscriptLine
      id={line.id}
      speaker={line.speaker}
      name={opens ? name : undefined}
      time={time}
      isOpen={line.kind === 'open'}
      isOver={isOver}
      isMissing={segment?.transcribed === false}
      isEcho={isEcho(line)}
      language={segment?.language}
      action={
        segment?.text && (
          <IconButton
            className={css.copy ?? ''}
            icon="copy"
            label={t.call.words.copy(name, time)}
            tabIndex={isEntry ? 0 : -1}
            onClick={() => copyText(segment.text)}
          />
        )
      }
    >
      {wordsOf(line, marker)}
    </TranscriptLine>
  );
});

function wordsOf(line: Shown, marker: Marker | undefined): ReactNode {
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
      const { text } = line.segment;
      return marker ? marked(text, marker) : text;
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

const isEcho = (line: Line) =>
  (line.kind === 'settled' && line.segment.echo) || (line.kind === 'open' && line.partial.echo);

/** Whether the other one was still speaking; one whose words are open may just be late. */
const isOver = (above: Line | undefined, line: Line) =>
  above?.kind === 'settled' && !isEcho(line) && isAtOnce(above.segment, line);

/** Among 2,000 buttons Tab stops at one; arrows go on from it. */
function moveFocus(event: KeyboardEvent<HTMLDivElement>) {
  if (event.key !== 'ArrowUp' && event.key !== 'ArrowDown') return;
  if (!(event.target instanceof HTMLButtonElement)) return;
  event.preventDefault();
  const buttons = [...event.currentTarget.querySelectorAll('button')];
  const at = buttons.indexOf(event.target) + (event.key === 'ArrowUp' ? -1 : 1);
  buttons[at]?.focus();
}
