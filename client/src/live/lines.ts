/**
 * The lines of a live transcript. Pure. An utterance gets its line with its first partial and keeps
 * it: the final replaces the partial, and two final lines never change places. Lines come in chunks,
 * so that a partial changes little however long the call is.
 */
import type { Partial, Segment, Speaker } from '../api/types';

interface LineStart {
  readonly id: string;
  readonly speaker: Speaker;
  readonly startMs: number;
}

/** `settled`: final; `open`: a partial; `gone`: empty after all, and not shown. */
export type Line = LineStart &
  (
    | { readonly kind: 'settled'; readonly segment: Segment }
    | { readonly kind: 'open'; readonly partial: Partial }
    | { readonly kind: 'gone' }
  );

export type Chunk = readonly Line[];

/** All chunks but the last are full. An unchanged chunk stays the same object. */
export type Lines = readonly Chunk[];

/** The number of lines in a chunk, which React renders and compares as one. */
export const LINES_PER_CHUNK = 25;

/** Whether a segment has something to show: its words, or the notice that they are missing. */
export const isShown = (segment: Segment) => segment.text !== '' || !segment.transcribed;

export const withPartial = (lines: Lines, partial: Partial): Lines => put(lines, openOf(partial));

export const withSegment = (lines: Lines, segment: Segment): Lines =>
  put(lines, settledOf(segment));

/** Removes the open lines: their utterances will get no final. */
export const withoutOpen = (lines: Lines): Lines =>
  changeEach(lines, (line) => (line.kind === 'open' ? goneOf(line) : line));

/**
 * Applies a snapshot: existing lines keep their place, lines that the snapshot lacks go, and new ones
 * are inserted by time.
 */
export function withSnapshot(
  lines: Lines,
  segments: readonly Segment[],
  partials: readonly Partial[],
): Lines {
  const told = new Map<string, Line>();
  for (const partial of partials) told.set(partial.segmentId, openOf(partial));
  for (const segment of segments) told.set(segment.id, settledOf(segment));
  const kept = changeEach(lines, (line) => {
    const now = told.get(line.id);
    told.delete(line.id);
    if (now) return isSame(line, now) ? line : now;
    return line.kind === 'gone' ? line : goneOf(line);
  });
  const fresh = [...told.values()].sort((a, b) => a.startMs - b.startMs);
  if (kept.length === 0) return chunksOf(fresh);
  return fresh.reduce(insert, kept);
}

/** The last line that is shown. */
export function lastShown(chunk: Chunk): Line | undefined {
  return chunk.findLast((line) => line.kind !== 'gone');
}

function openOf(partial: Partial): Line {
  const { segmentId: id, speaker, startMs } = partial;
  return { id, speaker, startMs, kind: 'open', partial };
}

function settledOf(segment: Segment): Line {
  const { id, speaker, startMs } = segment;
  if (!isShown(segment)) return { id, speaker, startMs, kind: 'gone' };
  return { id, speaker, startMs, kind: 'settled', segment };
}

const goneOf = ({ id, speaker, startMs }: Line): Line => ({ id, speaker, startMs, kind: 'gone' });

/** A final segment changes only in another epoch of the channel. */
function isSame(line: Line, other: Line): boolean {
  return (
    line.kind === 'settled' &&
    other.kind === 'settled' &&
    line.segment.text === other.segment.text &&
    line.segment.transcribed === other.segment.transcribed
  );
}

/** Replaces the line with the same id, or inserts it. Searches from the end, where changes occur. */
function put(lines: Lines, line: Line): Lines {
  for (let at = lines.length - 1; at >= 0; at--) {
    const chunk = lines[at] ?? [];
    const within = chunk.findLastIndex(({ id }) => id === line.id);
    if (within >= 0) return lines.with(at, chunk.with(within, line));
  }
  return insert(lines, line);
}

/**
 * Inserts a line by time. An open line never goes above a final one, which it would push down as it
 * grows. A final without partials may: it was missed while the link was down.
 */
function insert(lines: Lines, line: Line): Lines {
  let place = countOf(lines);
  while (place > 0) {
    const before = lineAt(lines, place - 1);
    if (!before || before.startMs <= line.startMs) break;
    if (before.kind === 'settled' && line.kind !== 'settled') break;
    place -= 1;
  }
  const first = Math.floor(place / LINES_PER_CHUNK);
  const rest = lines.slice(first).flat();
  return [
    ...lines.slice(0, first),
    ...chunksOf(rest.toSpliced(place - first * LINES_PER_CHUNK, 0, line)),
  ];
}

const countOf = (lines: Lines) =>
  Math.max(0, lines.length - 1) * LINES_PER_CHUNK + (lines.at(-1)?.length ?? 0);

const lineAt = (lines: Lines, place: number) =>
  lines[Math.floor(place / LINES_PER_CHUNK)]?.[place % LINES_PER_CHUNK];

function chunksOf(lines: readonly Line[]): Lines {
  const chunks: Chunk[] = [];
  for (let at = 0; at < lines.length; at += LINES_PER_CHUNK)
    chunks.push(lines.slice(at, at + LINES_PER_CHUNK));
  return chunks;
}

/** Maps the lines; a chunk without changes stays the same object. */
function changeEach(lines: Lines, change: (line: Line) => Line): Lines {
  return lines.map((chunk) => {
    const changed = chunk.map(change);
    return changed.every((line, at) => line === chunk[at]) ? chunk : changed;
  });
}
