/**
 * Where each utterance of a call stands on the page. Pure. An utterance gets its line with the first
 * that is heard of it and keeps it: its final takes the place of its partial, and two lines that are
 * settled never change places. Lines come in chunks, so that what a partial changes is small however
 * long the call is.
 */
import type { Partial, Segment, Speaker } from '../api/types';

interface Place {
  readonly id: string;
  readonly speaker: Speaker;
  readonly startMs: number;
}

/** Settled, still being spoken, or nothing after all: such a line is not shown. */
export type Line = Place &
  (
    | { readonly kind: 'settled'; readonly segment: Segment }
    | { readonly kind: 'open'; readonly partial: Partial }
    | { readonly kind: 'gone' }
  );

export type Chunk = readonly Line[];

/** All chunks but the last are full. A chunk that did not change is the same object. */
export type Lines = readonly Chunk[];

/** Lines of a chunk: what is drawn, measured and compared at once. */
export const LINES_PER_CHUNK = 25;

/** Whether something is shown for this segment: its words, or that they are missing. */
export const isShown = (segment: Segment) => segment.text !== '' || !segment.transcribed;

export const withPartial = (lines: Lines, partial: Partial): Lines => put(lines, openOf(partial));

export const withSegment = (lines: Lines, segment: Segment): Lines =>
  put(lines, settledOf(segment));

/** The lines without those that are still being spoken: nothing more will come of them. */
export const withoutOpen = (lines: Lines): Lines =>
  changeEach(lines, (line) => (line.kind === 'open' ? goneOf(line) : line));

/**
 * The lines after all was told anew: what is there keeps its place, what is not told any more goes,
 * and the rest comes in order of time.
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

/** A settled segment never changes; another life of the channel may know it better. */
function isSame(line: Line, other: Line): boolean {
  return (
    line.kind === 'settled' &&
    other.kind === 'settled' &&
    line.segment.text === other.segment.text &&
    line.segment.transcribed === other.segment.transcribed
  );
}

/** Into its own place; a new one gets one. What changes is near the end: it is looked for there. */
function put(lines: Lines, line: Line): Lines {
  for (let at = lines.length - 1; at >= 0; at--) {
    const chunk = lines[at] ?? [];
    const within = chunk.findLastIndex(({ id }) => id === line.id);
    if (within >= 0) return lines.with(at, chunk.with(within, line));
  }
  return insert(lines, line);
}

/**
 * In order of time. What is still spoken never goes above what is settled: it would push it down as
 * it grows. A final without partials was missed while the line was down, and may.
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

/** Leaves each chunk of which nothing changes as it is. */
function changeEach(lines: Lines, change: (line: Line) => Line): Lines {
  return lines.map((chunk) => {
    const changed = chunk.map(change);
    return changed.every((line, at) => line === chunk[at]) ? chunk : changed;
  });
}
