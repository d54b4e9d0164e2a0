/** A list of calls by the day on which they began. Pure. */
import { dayOf } from '../format';

export interface Day<T> {
  title: string;
  calls: T[];
}

/** Keeps the order, the latest first; a day that comes again is one day. */
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
