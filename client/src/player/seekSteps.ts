/** The steps of the seek keys and buttons. */
export const SHORT_STEP_MS = 5_000;
export const LONG_STEP_MS = 15_000;
