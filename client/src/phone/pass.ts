/**
 * When this page's pass to Twilio is to be replaced. Pure. The SDK tells of a pass's end once, and
 * not at all to a page that slept; a timer of our own does, and so does every waking.
 */

export interface Pass {
  readonly token: string;
  /** Twilio's edge to connect to; null: the nearest. */
  readonly edge: string | null;
  /** What the browser is called at Twilio with it. */
  readonly identity: string;
  /** What this tab called itself to get it. */
  readonly browser: string;
  /** When it ends, as the server says it. */
  readonly expiresAt: string;
  /** By this browser's clock. */
  readonly receivedAtMs: number;
  /** By the server's clock, which may be another. */
  readonly lifeMs: number;
}

/** Of a pass's life, when another is asked for. */
const REPLACE_AT = 0.8;

/** As above while a call goes on: a new pass interrupts its sound for about a second. */
const REPLACE_IN_CALL_AT = 0.95;

/** Milliseconds until it is to be replaced; 0: now. */
export function dueInMs(pass: Pass, nowMs: number, isCarrying: boolean): number {
  const part = isCarrying ? REPLACE_IN_CALL_AT : REPLACE_AT;
  return Math.max(0, pass.receivedAtMs + pass.lifeMs * part - nowMs);
}
