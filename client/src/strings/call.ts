/** A call that goes on: its words and its recording. */
export const call = {
  you: 'You',
} as const;
