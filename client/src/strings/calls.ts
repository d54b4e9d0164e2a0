/** The list of calls, and one call's page. */
export const calls = {
  title: 'Calls',
} as const;
