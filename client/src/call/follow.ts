/** Decides whether the transcript follows new words: whether the reader is at its end. Pure. */

/** A distance from the end that still counts as the end. */
export const FOLLOWS_WITHIN_PX = 64;

/** The tolerance for rounded scroll positions. */
const ROUNDING_PX = 2;

/** The scroll position of a reader. */
export interface Position {
  /** The height hidden above. */
  topPx: number;
  /** The height hidden below. */
  belowPx: number;
}

/** Scrolling up, however slowly, leaves the end at once; scrolling near the end arrives there. */
export function isAtEnd(now: Position, before: Position): boolean {
  return now.belowPx <= (now.topPx < before.topPx ? ROUNDING_PX : FOLLOWS_WITHIN_PX);
}

export function positionOf(scroller: Element): Position {
  const topPx = scroller.scrollTop;
  return { topPx, belowPx: scroller.scrollHeight - scroller.clientHeight - topPx };
}
