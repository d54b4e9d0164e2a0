/** The placeholder for a call without words, with the reason. */
import type { CallDetail } from '../api/types';
import { outcomeOf } from '../callRecord/outcome';
import { t } from '../strings';
import { Empty } from '../ui/controls';

export function NoTranscript({ call }: { call: CallDetail }) {
  const { none } = t.calls.transcript;
  const [title, hint] = reasonOf(call);
  return <Empty title={none[title]}>{none[hint]}</Empty>;
}

type None = typeof t.calls.transcript.none;
type Reason = readonly [title: keyof None, hint: keyof None];

function reasonOf(call: CallDetail): Reason {
  if (outcomeOf(call) !== 'answered') return ['notTalked', 'notTalkedHint'];
  switch (call.transcript) {
    case 'off':
      return ['off', 'offHint'];
    case 'waiting':
      return ['never', 'neverHint'];
    case 'live':
      return ['waiting', 'waitingHint'];
    case 'complete':
      return ['silent', 'silentHint'];
    case 'interrupted':
      return ['interrupted', 'interruptedHint'];
    default:
      return call.transcript satisfies never;
  }
}
