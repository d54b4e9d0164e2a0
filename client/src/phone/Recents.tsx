/** Lists the latest calls, to call back or to open. */
import { useQuery } from '@tanstack/react-query';
import { Link } from 'wouter';
import { messageOf } from '../api/client';
import { recentCallsQuery } from '../api/queries';
import type { CallRecord } from '../api/types';
import { otherParty } from '../callRecord/party';
import { dayOf, timeOfDay } from '../format/time';
import { useFormatParty } from '../numbers/format';
import { t } from '../strings';
import { IconButton, Spinner } from '../ui/controls';
import { Icon } from '../ui/icons';
import css from './Recents.module.css';

export function Recents({
  onCall,
}: {
  /** Undefined while no call can be made. */
  onCall: ((e164: string) => void) | undefined;
}) {
  const recents = useQuery(recentCallsQuery);
  return (
    <section className={css.recents} aria-labelledby="recents">
      <div className={css.head}>
        <h2 id="recents">{t.phone.recents.title}</h2>
        <Link href="/calls">{t.phone.recents.all}</Link>
      </div>
      {recents.isPending && <Spinner label={t.ui.loading} />}
      {recents.isError && <p className={css.none}>{messageOf(recents.error)}</p>}
      {recents.data?.calls.length === 0 && <p className={css.none}>{t.phone.recents.none}</p>}
      <ul>
        {recents.data?.calls.map((call) => (
          <Recent key={call.sid} call={call} onCall={onCall} />
        ))}
      </ul>
    </section>
  );
}

function Recent({
  call,
  onCall,
}: {
  call: CallRecord;
  onCall: ((e164: string) => void) | undefined;
}) {
  const format = useFormatParty();
  const other = otherParty(call);
  const name = format(other) || t.phone.recents.unknown;
  const isMissed = call.direction === 'incoming' && call.answeredAt == null && call.endedAt != null;
  const { missed, incoming, outgoing } = t.phone.recents;
  const kind = isMissed ? missed : call.direction === 'incoming' ? incoming : outgoing;
  return (
    <li className={css.row} data-missed={isMissed || undefined}>
      <Icon name={call.direction} size={16} />
      <Link
        className={css.link}
        href={`/calls/${call.sid}`}
        aria-label={t.phone.recents.open(name)}
      >
        <span className={css.party}>{name}</span>
        <span className={css.when}>
          {kind} · {dayOf(call.startedAt, new Date())}, {timeOfDay(call.startedAt)}
        </span>
      </Link>
      {onCall && other.startsWith('+') && (
        <IconButton
          icon="phone"
          label={t.phone.recents.callBack(name)}
          onClick={() => onCall(other)}
        />
      )}
    </li>
  );
}
