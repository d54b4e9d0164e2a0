/** A call without a word: why, and what to expect. */
import type { CallDetail } from '../api/types';
import { t } from '../strings';
import { Empty } from '../ui/controls';
import { outcomeOf } from './outcome';

export function NoWords({ call }: { call: CallDetail }) {
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
