/** Tells of a call that rang here and was not answered here. */
import { callQuery, queries } from '../api/queries';
import { formatParty } from '../numbers/format';
import { t } from '../strings';
import { say } from '../ui/toasts';

/** Asks the server whether somebody else answered; without its word it was missed. */
export async function noteMissed(sid: string | null, party: string) {
  const name = formatParty(party) || t.phone.incoming.unknown;
  const record = sid
    ? await queries.fetchQuery({ ...callQuery(sid), staleTime: 0 }).catch(() => undefined)
    : undefined;
  const { elsewhere, missed } = t.phone.incoming;
  say(record?.answeredAt ? elsewhere(name) : missed(name));
  void queries.invalidateQueries({ queryKey: ['calls'] });
}
