/**
 * Decides when this page's Twilio access token is to be refreshed. Pure. The SDK reports the end of
 * a token once, and not at all to a page that slept, so the page keeps a timer of its own and checks
 * each time that it wakes.
 */

export interface AccessToken {
  readonly token: string;
  /** Twilio's edge to connect to; null selects the nearest one. */
  readonly edge: string | null;
  /** The browser's identity at Twilio with this token. */
  readonly identity: string;
  /** The tab name that the token was requested with. */
  readonly browser: string;
  /** The end of the token, as the server wrote it. */
  readonly expiresAt: string;
  /** By this browser's clock. */
  readonly receivedAtMs: number;
  /** By the server's clock, which may differ. */
  readonly lifeMs: number;
}

/** Refreshes a token at this fraction of its life. */
const REFRESH_AT = 0.8;

/** Refreshes later during a call: a new token interrupts the sound for about a second. */
const REFRESH_IN_CALL_AT = 0.95;

/** Returns the milliseconds until the token is to be refreshed; 0 means now. */
export function refreshDueInMs(token: AccessToken, nowMs: number, isInCall: boolean): number {
  const fraction = isInCall ? REFRESH_IN_CALL_AT : REFRESH_AT;
  return Math.max(0, token.receivedAtMs + token.lifeMs * fraction - nowMs);
}
