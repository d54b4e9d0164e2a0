/** Selects the final segments that screen readers have not announced yet. Pure. */
import type { Segment } from '../api/types';

/** The announcements kept for a slow screen reader; older ones are dropped. */
export const ANNOUNCEMENTS_MAX = 20;

/**
 * The segments that became final after `announced`. Returns none at first, since existing text can be
 * read on the page, and only the latest ones after a gap.
 */
export function newSegments(
  announced: readonly Segment[] | undefined,
  segments: readonly Segment[],
): readonly Segment[] {
  if (!announced) return [];
  const known = new Set(announced.slice(-(2 * ANNOUNCEMENTS_MAX)).map(({ id }) => id));
  return segments.slice(-ANNOUNCEMENTS_MAX).filter(({ id }) => !known.has(id));
}
