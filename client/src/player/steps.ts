/** How far one goes at once. */
export const SHORT_STEP_MS = 5_000;
export const LONG_STEP_MS = 15_000;
