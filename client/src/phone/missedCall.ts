/** Notifies the user of a call that rang here and was not answered here. */
import { api, unwrap } from '../api/client';
import { queries } from '../api/queries';
import { formatParty } from '../numbers/format';
import { t } from '../strings';
import { showToast } from '../ui/toasts';
import { type RingOutcome, ringOutcomeOf } from './ringOutcome';

/** Asks the server whether somebody else answered; without its answer the call was missed. */
export async function notifyMissedCall(sid: string | null, party: string) {
  const name = formatParty(party) || t.phone.incoming.unknown;
  const outcome = sid ? await ringOutcomeOf(() => ask(sid), wait) : 'missed';
  const { elsewhere, missed } = t.phone.incoming;
  showToast(outcome === 'answered' ? elsewhere(name) : missed(name));
  void queries.invalidateQueries({ queryKey: ['calls'] });
}

async function ask(callSid: string): Promise<RingOutcome> {
  const params = { path: { sid: callSid } };
  return (await unwrap(api.GET('/api/rung/{sid}', { params }))).outcome;
}

const wait = (ms: number) => new Promise<void>((done) => setTimeout(done, ms));
