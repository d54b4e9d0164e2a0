/** How good a call's connection is, from what the Voice SDK measures and warns of. Pure. */

/** What the Voice SDK warns of while it lasts, the worst first. */
const WARNINGS = [
  'ice-connectivity-lost',
  'low-bytes-received',
  'low-bytes-sent',
  'high-packets-lost-fraction',
  'high-packet-loss',
  'high-rtt',
  'high-jitter',
  'constant-audio-input-level',
  'low-mos',
] as const;

export type Warning = (typeof WARNINGS)[number];

/** One second of a call, as the SDK measured it. */
export interface Sample {
  /** Mean opinion score, 1 (bad) to 4.5; null: not known yet. */
  readonly mos: number | null;
  readonly roundTripMs: number;
  readonly jitterMs: number;
  /** Of the packets, how many were lost: 0 to 1. */
  readonly lost: number;
}

export type Level = 'good' | 'fair' | 'poor';

/** Why it is not good. */
export type Reason =
  | 'no-connection'
  | 'hears-nothing'
  | 'not-heard'
  | 'loses-packets'
  | 'slow'
  | 'uneven'
  | 'microphone-flat'
  | 'low-score';

export interface Quality {
  readonly level: Level;
  readonly reasons: readonly Reason[];
}

/** Below this opinion score it is no pleasure, and below the other hardly possible, to listen. */
const FAIR_BELOW_MOS = 3.6;
const POOR_BELOW_MOS = 3;

const OF_WARNING: Record<Warning, { level: Exclude<Level, 'good'>; reason: Reason }> = {
  'ice-connectivity-lost': { level: 'poor', reason: 'no-connection' },
  'low-bytes-received': { level: 'poor', reason: 'hears-nothing' },
  'low-bytes-sent': { level: 'poor', reason: 'not-heard' },
  'high-packet-loss': { level: 'fair', reason: 'loses-packets' },
  'high-packets-lost-fraction': { level: 'poor', reason: 'loses-packets' },
  'high-rtt': { level: 'fair', reason: 'slow' },
  'high-jitter': { level: 'fair', reason: 'uneven' },
  'constant-audio-input-level': { level: 'fair', reason: 'microphone-flat' },
  'low-mos': { level: 'poor', reason: 'low-score' },
};

/** How good it is now; null while nothing is known. */
export function qualityOf(warnings: readonly Warning[], sample: Sample | null): Quality | null {
  if (!sample && warnings.length === 0) return null;
  const found = WARNINGS.filter((warning) => warnings.includes(warning)).map(
    (warning) => OF_WARNING[warning],
  );
  const mos = sample?.mos ?? null;
  if (found.length === 0 && mos !== null && mos < FAIR_BELOW_MOS)
    return { level: mos < POOR_BELOW_MOS ? 'poor' : 'fair', reasons: ['low-score'] };
  const isPoor = found.some(({ level }) => level === 'poor');
  const reasons = [...new Set(found.map(({ reason }) => reason))];
  return { level: isPoor ? 'poor' : found.length ? 'fair' : 'good', reasons };
}

/** Whether it is one that this page knows. */
export const isWarning = (name: string): name is Warning =>
  WARNINGS.some((warning) => warning === name);
