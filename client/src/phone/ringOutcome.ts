/**
 * Finds out what became of a call that stopped ringing here. Twilio notifies the browser before the
 * server, so the server is asked again for some seconds. Pure: asking and waiting are passed in.
 */
import type { components } from '../api/schema';

export type RingOutcome = components['schemas']['RungOutcome'];

/** Waits before each further question, in milliseconds. */
export const ASK_AGAIN_AFTER_MS = [250, 500, 1_000, 2_000, 4_000] as const;

/** Returns `missed` if the server does not know better in time or does not answer. */
export async function ringOutcomeOf(
  ask: () => Promise<RingOutcome>,
  wait: (ms: number) => Promise<void>,
): Promise<'answered' | 'missed'> {
  for (const ms of [0, ...ASK_AGAIN_AFTER_MS]) {
    if (ms > 0) await wait(ms);
    const outcome = await ask().catch(() => 'ringing' as const);
    if (outcome !== 'ringing') return outcome;
  }
  return 'missed';
}
