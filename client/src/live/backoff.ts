/** When to try again. Pure: chance is an argument. */

/** The first wait. */
export const FIRST_WAIT_MS = 1_000;

/** The longest wait: how late a page may notice that the server is back. */
export const LONGEST_WAIT_MS = 30_000;

/**
 * Milliseconds to wait after `failures` (from 1) failed attempts: twice as long each time, and
 * between half and all of that, so that not all pages come back at once.
 *
 * @param chance 0 to 1, evenly spread
 */
export function waitMs(failures: number, chance: number): number {
  const most = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(failures - 1, 16));
  return Math.round(most * (0.5 + chance / 2));
}
