/** Groups calls by the day on which they started. Pure. */
import { dayOf } from '../format/time';

export interface Day<T> {
  title: string;
  calls: T[];
}

/** Keeps the order of the calls; each day occurs once. */
export function byDay<T extends { startedAt: string }>(calls: readonly T[], now: Date): Day<T>[] {
  const days = new Map<string, Day<T>>();
  for (const call of calls) {
    const began = new Date(call.startedAt);
    const key = `${began.getFullYear()}-${began.getMonth()}-${began.getDate()}`;
    const day = days.get(key);
    if (day) day.calls.push(call);
    else days.set(key, { title: dayOf(call.startedAt, now), calls: [call] });
  }
  return [...days.values()];
}
