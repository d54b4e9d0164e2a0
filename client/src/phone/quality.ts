/** Rates a call's connection by the Voice SDK's measurements and warnings. Pure. */

import type { QualityLevel, QualityReason } from '../strings/phoneStates';

/** Warnings of the Voice SDK, the worst first; each holds until it is cleared. */
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

/** The SDK's measurements of one second of a call. */
export interface Sample {
  /** Mean opinion score, 1 (bad) to 4.5; null while unknown. */
  readonly mos: number | null;
  readonly roundTripMs: number;
  readonly jitterMs: number;
  /** Fraction of the packets that were lost: 0 to 1. */
  readonly lost: number;
}

export interface Quality {
  readonly level: QualityLevel;
  readonly reasons: readonly QualityReason[];
}

/** Below these mean opinion scores, listening is tiring, or hardly possible. */
const FAIR_BELOW_MOS = 3.6;
const POOR_BELOW_MOS = 3;

const BY_WARNING: Record<Warning, { level: Exclude<QualityLevel, 'good'>; reason: QualityReason }> =
  {
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

/** Returns the present quality; null while nothing is known. */
export function qualityOf(warnings: readonly Warning[], sample: Sample | null): Quality | null {
  if (!sample && warnings.length === 0) return null;
  const found = WARNINGS.filter((warning) => warnings.includes(warning)).map(
    (warning) => BY_WARNING[warning],
  );
  const mos = sample?.mos ?? null;
  if (found.length === 0 && mos !== null && mos < FAIR_BELOW_MOS)
    return { level: mos < POOR_BELOW_MOS ? 'poor' : 'fair', reasons: ['low-score'] };
  const isPoor = found.some(({ level }) => level === 'poor');
  const reasons = [...new Set(found.map(({ reason }) => reason))];
  return { level: isPoor ? 'poor' : found.length ? 'fair' : 'good', reasons };
}

/** Tells whether the page knows this warning. */
export const isWarning = (name: string): name is Warning =>
  WARNINGS.some((warning) => warning === name);
