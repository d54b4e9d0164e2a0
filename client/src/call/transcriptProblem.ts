/** Detects problems of a live transcript, and describes them. Pure. */
import type { LiveCall } from '../live/call';
import type { LinkState } from '../live/link';
import { t } from '../strings';
import { secondsOf } from './liveStats';

export interface TranscriptProblem {
  text: string;
  /** Words are missing or wrong, or may be. */
  isLoss: boolean;
}

const texts = t.call.problem;

/** The most important problem; undefined if there is none. */
export function problemOf(
  call: LiveCall | undefined,
  link: LinkState,
): TranscriptProblem | undefined {
  if (link === 'signed-out') return { text: texts.signedOut, isLoss: true };
  const isLost = link === 'waiting' || (link === 'connecting' && call !== undefined);
  const isOver = call !== undefined && call.ended !== null;
  if (isLost && !isOver) return { text: texts.catchingUp, isLoss: false };
  if (!call) return undefined;
  if (call.ended !== null) return endedBadly(call.ended);
  switch (call.engine) {
    case 'degraded':
      return { text: texts.degraded, isLoss: true };
    case 'behind':
      return { text: texts.behind(secondsOf(call.lagMs)), isLoss: false };
    case 'ok':
      return otherLanguage(call.doubts);
    default:
      return call.engine satisfies never;
  }
}

/** Wrong words count as a loss, as missing ones do. */
function otherLanguage(doubts: LiveCall['doubts']): TranscriptProblem | undefined {
  const [first, second] = doubts;
  if (!first) return undefined;
  const who = second ? 'both' : first.speaker;
  return { text: texts.otherLanguage[who](languageName(first.expected)), isLoss: true };
}

/** The English name of a language code. */
const languageName = (code: string) =>
  new Intl.DisplayNames('en', { type: 'language' }).of(code) ?? code;

function endedBadly(reason: NonNullable<LiveCall['ended']>): TranscriptProblem | undefined {
  switch (reason) {
    case 'stopped':
    // There was no audio at all, as in a call that nobody answered.
    case 'never-started':
      return undefined;
    case 'shutting-down':
      return { text: texts.shuttingDown, isLoss: true };
    case 'dropped':
    case 'idle':
    case 'protocol-error':
      return { text: texts.dropped, isLoss: true };
    default:
      return reason satisfies never;
  }
}
