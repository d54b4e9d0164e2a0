/** The expiry of API tokens. Pure. */

export const EXPIRY_DAYS = [30, 90, 365, 0] as const;

/** 0: no expiry. */
export type ExpiryDays = (typeof EXPIRY_DAYS)[number];

export function expiresAt(days: ExpiryDays, now: Date): string | null {
  return days === 0 ? null : new Date(now.getTime() + days * 86_400_000).toISOString();
}
