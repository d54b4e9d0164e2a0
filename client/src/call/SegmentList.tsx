/**
 * The lines of a live transcript. All of them are in the document, so that text can be selected and
 * found; unchanged chunks do not render again, and chunks out of sight have no layout.
 */
import { type KeyboardEvent, memo, type ReactNode } from 'react';
import type { Names } from '../callRecord/party';
import { clockTime } from '../format/time';
import { type Chunk, type Line, type Lines, lastShown } from '../live/lines';
import { t } from '../strings';
import type { Marker } from '../transcript/keywords';
import { doOverlap, TranscriptLine } from '../transcript/TranscriptLine';
import { HiddenText, IconButton } from '../ui/controls';
import { copyText } from '../ui/copyText';
import css from './SegmentList.module.css';

type ShownLine = Exclude<Line, { kind: 'gone' }>;

export function SegmentList({
  lines,
  names,
  marker,
}: {
  lines: Lines;
  names: Names;
  marker?: Marker | undefined;
}) {
  const entry = lines.flatMap((chunk) => chunk.findLast(isFinal) ?? []).at(-1)?.id;
  let before: Line | undefined;
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the arrow keys move between the copy buttons
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

interface SharedProps {
  names: Names;
  marker?: Marker | undefined;
}

const ChunkView = memo(function ChunkView({
  chunk,
  before,
  entry,
  ...shared
}: SharedProps & {
  chunk: Chunk;
  /** The last shown line above the chunk. */
  before: Line | undefined;
  /** The id of the line whose button is in the tab order: the latest final line. */
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
            startsTurn={above?.speaker !== line.speaker}
            overlaps={overlaps(above, line)}
            isEntry={line.id === entry}
            {...shared}
          />
        );
      })}
    </div>
  );
});

/** The line of an utterance, mounted from its first partial on. */
const LineView = memo(function LineView({
  line,
  startsTurn,
  overlaps,
  isEntry,
  names,
  marker,
}: SharedProps & {
  line: ShownLine;
  /** The line above is of the other speaker. */
  startsTurn: boolean;
  /** The other speaker was still speaking. */
  overlaps: boolean;
  isEntry: boolean;
}) {
  const name = names[line.speaker];
  const time = clockTime(line.startMs);
  const segment = line.kind === 'settled' ? line.segment : undefined;
  return (
    <TranscriptLine
      id={line.id}
      speaker={line.speaker}
      name={startsTurn ? name : undefined}
      time={time}
      isOpen={line.kind === 'open'}
      overlaps={overlaps}
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

function wordsOf(line: ShownLine, marker: Marker | undefined): ReactNode {
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

const isFinal = (line: Line) => line.kind === 'settled';

const isEcho = (line: Line) =>
  (line.kind === 'settled' && line.segment.echo) || (line.kind === 'open' && line.partial.echo);

/** Whether the line above overlaps; an open line does not count, since its end is unknown. */
const overlaps = (above: Line | undefined, line: Line) =>
  above?.kind === 'settled' && !isEcho(line) && doOverlap(above.segment, line);

/** Only one of the copy buttons is in the tab order; the arrow keys reach the others. */
function moveFocus(event: KeyboardEvent<HTMLDivElement>) {
  if (event.key !== 'ArrowUp' && event.key !== 'ArrowDown') return;
  if (!(event.target instanceof HTMLButtonElement)) return;
  event.preventDefault();
  const buttons = [...event.currentTarget.querySelectorAll('button')];
  const at = buttons.indexOf(event.target) + (event.key === 'ArrowUp' ? -1 : 1);
  buttons[at]?.focus();
}
