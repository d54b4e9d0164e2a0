/** Whether the reader is at the end, where new words appear. Pure. */

/** Nearer to the end than this is at the end. */
export const FOLLOWS_WITHIN_PX = 64;

/** What is left of a line after rounding. */
const ROUNDING_PX = 2;

/** How far a reader is. */
export interface Position {
  /** What is hidden above. */
  topPx: number;
  /** What is hidden below. */
  belowPx: number;
}

/** Whoever goes up leaves the end at once, however slowly; whoever comes near it arrives. */
export function isAtEnd(now: Position, before: Position): boolean {
  return now.belowPx <= (now.topPx < before.topPx ? ROUNDING_PX : FOLLOWS_WITHIN_PX);
}

export function positionOf(scroller: Element): Position {
  const topPx = scroller.scrollTop;
  return { topPx, belowPx: scroller.scrollHeight - scroller.clientHeight - topPx };
}
