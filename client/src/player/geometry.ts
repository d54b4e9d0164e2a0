/** Where times lie on the timeline. Pure. */
import type { Span } from './speech';

/** The timeline's own units: it is stretched to whatever room there is. */
export const WIDTH = 1_000;
export const LANE_HEIGHT = 20;

/** Shorter speech is drawn this wide, so that a “yes” is seen in an hour. */
export const WIDTH_MIN = 1.5;

/** A time as a part of the whole, 0 to 1. */
export function shareOf(timeMs: number, durationMs: number): number {
  return durationMs > 0 ? Math.min(1, Math.max(0, timeMs / durationMs)) : 0;
}

/** Spans in order of time as boxes that lie within the timeline and do not overlap. */
export function boxesOf(
  spans: readonly Span[],
  durationMs: number,
): { x: number; width: number }[] {
  const boxes: { x: number; width: number }[] = [];
  let free = 0;
  for (const { startMs, endMs } of spans) {
    const x = Math.max(free, WIDTH * shareOf(startMs, durationMs));
    const end = Math.max(x + WIDTH_MIN, WIDTH * shareOf(endMs, durationMs));
    const width = Math.min(end, WIDTH) - x;
    if (width <= 0) continue;
    boxes.push({ x, width });
    free = x + width;
  }
  return boxes;
}
