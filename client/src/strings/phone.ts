/** The phone: dialling, and what happens until a call is over. */
export const phone = {
  title: 'Phone',
} as const;
