/** What keeps words from coming as they should, in words. Pure. */
import type { LiveCall } from '../live/call';
import type { LinkState } from '../live/link';
import { t } from '../strings';
import { secondsOf } from './figures';

export interface Trouble {
  text: string;
  /** Words are, or may be, missing. */
  isLoss: boolean;
}

const words = t.call.trouble;

/** The one thing that matters most now; undefined when all is well. */
export function troubleOf(call: LiveCall | undefined, link: LinkState): Trouble | undefined {
  if (link === 'signed-out') return { text: words.signedOut, isLoss: true };
  const isLost = link === 'waiting' || (link === 'connecting' && call !== undefined);
  const isOver = call !== undefined && call.ended !== null;
  if (isLost && !isOver) return { text: words.catchingUp, isLoss: false };
  if (!call) return undefined;
  if (call.ended !== null) return endedBadly(call.ended);
  switch (call.engine) {
    case 'degraded':
      return { text: words.degraded, isLoss: true };
    case 'behind':
      return { text: words.behind(secondsOf(call.lagMs)), isLoss: false };
    case 'ok':
      return otherLanguage(call.doubts);
    default:
      return call.engine satisfies never;
  }
}

/** The words are wrong rather than missing, which is a loss all the same. */
function otherLanguage(doubts: LiveCall['doubts']): Trouble | undefined {
  const [first, second] = doubts;
  if (!first) return undefined;
  const who = second ? 'both' : first.speaker;
  return { text: words.otherLanguage[who](languageName(first.expected)), isLoss: true };
}

/** `en` as people say it. */
const languageName = (code: string) =>
  new Intl.DisplayNames('en', { type: 'language' }).of(code) ?? code;

function endedBadly(reason: NonNullable<LiveCall['ended']>): Trouble | undefined {
  switch (reason) {
    case 'stopped':
    // There never was any sound: a call that nobody took.
    case 'never-started':
      return undefined;
    case 'shutting-down':
      return { text: words.shuttingDown, isLoss: true };
    case 'dropped':
    case 'idle':
    case 'protocol-error':
      return { text: words.dropped, isLoss: true };
    default:
      return reason satisfies never;
  }
}
