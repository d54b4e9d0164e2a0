/**
 * What became of a call that rings here no more. Twilio tells the browser before it tells the server,
 * so that the server may not know yet: it is asked again for some seconds. Pure: asking and waiting are
 * passed in.
 */
import type { components } from '../api/schema';

export type Outcome = components['schemas']['RungOutcome'];

/** Waits before each further question, in milliseconds. */
export const ASKED_AGAIN_AFTER_MS = [250, 500, 1_000, 2_000, 4_000] as const;

/** Missed, if the server does not know better in time or does not answer. */
export async function outcomeOf(
  ask: () => Promise<Outcome>,
  wait: (ms: number) => Promise<void>,
): Promise<'answered' | 'missed'> {
  for (const ms of [0, ...ASKED_AGAIN_AFTER_MS]) {
    if (ms > 0) await wait(ms);
    const outcome = await ask().catch(() => 'ringing' as const);
    if (outcome !== 'ringing') return outcome;
  }
  return 'missed';
}
