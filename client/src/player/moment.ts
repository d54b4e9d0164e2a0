/** Links to a moment of a call: `?t=12.5`. Pure. */

/** Twilio ends every call within this time. */
const MOMENT_MS_MAX = 24 * 3_600_000;

/** The moment in an address, given in seconds or as on a clock (`1:05`); null without one. */
export function readMoment(search: string): number | null {
  const text = new URLSearchParams(search).get('t')?.trim() ?? '';
  if (!/^(?:\d{1,3}:)?(?:\d{1,2}:)?\d{1,6}(?:\.\d{1,3})?$/.test(text)) return null;
  const seconds = text.split(':').reduce((sum, part) => sum * 60 + Number(part), 0);
  const ms = Math.round(seconds * 1_000);
  return ms <= MOMENT_MS_MAX ? ms : null;
}

/** The path of the page of a call, at a moment if given. */
export const callPath = (sid: string, timeMs?: number) =>
  `/calls/${encodeURIComponent(sid)}${timeMs === undefined ? '' : `?t=${Math.round(timeMs) / 1_000}`}`;
