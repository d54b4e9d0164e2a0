/** Maps times to positions on the timeline. Pure. */
import type { Span } from './speech';

/** The size of the SVG in its own units; it is stretched to the available width. */
export const WIDTH = 1_000;
export const LANE_HEIGHT = 20;

/** The minimum width, so that short speech stays visible in a long call. */
export const WIDTH_MIN = 1.5;

/** The fraction of the duration, from 0 to 1. */
export function shareOf(timeMs: number, durationMs: number): number {
  return durationMs > 0 ? Math.min(1, Math.max(0, timeMs / durationMs)) : 0;
}

/** Maps sorted spans to boxes that stay within the timeline and do not overlap. */
export function boxesOf(
  spans: readonly Span[],
  durationMs: number,
): { x: number; width: number }[] {
  const boxes: { x: number; width: number }[] = [];
  let nextFreeX = 0;
  for (const { startMs, endMs } of spans) {
    const x = Math.max(nextFreeX, WIDTH * shareOf(startMs, durationMs));
    const end = Math.max(x + WIDTH_MIN, WIDTH * shareOf(endMs, durationMs));
    const width = Math.min(end, WIDTH) - x;
    if (width <= 0) continue;
    boxes.push({ x, width });
    nextFreeX = x + width;
  }
  return boxes;
}
