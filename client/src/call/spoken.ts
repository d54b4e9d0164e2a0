/** Which settled words are still to be read aloud. Pure. */
import type { Segment } from '../api/types';

/** What is kept for a screen reader that is slower than the call; older ones are pruned. */
export const SPOKEN_MAX = 20;

/**
 * What settled since `told`. Nothing of what was there when one came: that is there to be read. After
 * a drop, only the latest that fit.
 */
export function freshOf(
  told: readonly Segment[] | undefined,
  segments: readonly Segment[],
): readonly Segment[] {
  if (!told) return [];
  const known = new Set(told.slice(-(2 * SPOKEN_MAX)).map(({ id }) => id));
  return segments.slice(-SPOKEN_MAX).filter(({ id }) => !known.has(id));
}
