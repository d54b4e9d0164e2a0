/** Formats dates, times and durations for people. Pure. */
import { capitalized } from './sentence';

const pad = (number: number) => String(number).padStart(2, '0');

/** A duration as on a clock: `1:05`, `1:02:03`. */
export function clockTime(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  const hours = Math.floor(seconds / 3_600);
  const minutes = Math.floor(seconds / 60) % 60;
  const rest = pad(seconds % 60);
  return hours ? `${hours}:${pad(minutes)}:${rest}` : `${minutes}:${rest}`;
}

const TIME = new Intl.DateTimeFormat(undefined, { hour: 'numeric', minute: '2-digit' });
const WEEKDAY = new Intl.DateTimeFormat(undefined, { weekday: 'long' });
const DAY = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const YEAR = new Intl.DateTimeFormat(undefined, {
  day: 'numeric',
  month: 'short',
  year: 'numeric',
});
const WHOLE = new Intl.DateTimeFormat(undefined, { dateStyle: 'long', timeStyle: 'short' });
const RELATIVE = new Intl.RelativeTimeFormat(undefined, { numeric: 'auto' });

export const timeOfDay = (at: string) => TIME.format(new Date(at));

/** The full date with the time. */
export const dateAndTime = (at: string) => WHOLE.format(new Date(at));

/** `Today`, `Yesterday`, a weekday within the last six days, or the date. */
export function dayOf(at: string, now: Date): string {
  const then = new Date(at);
  const midnight = (date: Date) => new Date(date).setHours(0, 0, 0, 0);
  const days = Math.round((midnight(now) - midnight(then)) / 86_400_000);
  if (days === 0 || days === 1) return capitalized(RELATIVE.format(-days, 'day'));
  if (days > 1 && days < 7) return WEEKDAY.format(then);
  return (then.getFullYear() === now.getFullYear() ? DAY : YEAR).format(then);
}
