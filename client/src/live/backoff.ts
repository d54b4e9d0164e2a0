/** Exponential backoff with jitter. Pure: the random number is an argument. */

export const FIRST_WAIT_MS = 1_000;

/** The longest wait, and so the longest time until a page notices that the server is back. */
export const LONGEST_WAIT_MS = 30_000;

/**
 * The wait in milliseconds after `failures` (from 1) failed attempts. It doubles each time, with a
 * jitter of up to half of it, so that not all pages reconnect at once.
 *
 * @param random uniformly distributed, from 0 to 1
 */
export function backoffMs(failures: number, random: number): number {
  const most = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(failures - 1, 16));
  return Math.round(most * (0.5 + random / 2));
}
