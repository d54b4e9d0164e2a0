/** The header of the page of a call: party, time, duration and outcome. */
import { useState } from 'react';
import { Link } from 'wouter';
import type { CallDetail } from '../api/types';
import { isFinalStatus, isUnsuccessful, outcomeOf } from '../callRecord/outcome';
import { callBackPath, causeOf, lengthMs } from '../callRecord/party';
import { clockTime, dateAndTime } from '../format/time';
import { t } from '../strings';
import { ButtonLink } from '../ui/ButtonLink';
import { Chip, IconButton } from '../ui/controls';
import { Icon } from '../ui/icons';
import css from './CallHeader.module.css';
import { DeleteCall } from './DeleteCall';
import { listPath } from './listPath';

export function CallHeader({ call, name }: { call: CallDetail; name: string }) {
  const strings = t.calls.page;
  const [asks, setAsks] = useState(false);
  const outcome = outcomeOf(call);
  const length = lengthMs(call);
  const cause = causeOf(call);
  const back = callBackPath(call);
  const hungUpHere = call.events.some((event) => event.kind === 'hung_up');
  return (
    <header className={css.head}>
      <Link href={listPath()} className={css.back} data-print="never">
        <Icon name="back" size={16} />
        {strings.back}
      </Link>
      <div className={css.title}>
        <h1>{name}</h1>
        <div className={css.actions} data-print="never">
          {back && (
            <ButtonLink href={back} icon="phone">
              {t.calls.callBack(name)}
            </ButtonLink>
          )}
          {isFinalStatus(call.status) && (
            <IconButton icon="trash" label={t.calls.remove.button} onClick={() => setAsks(true)} />
          )}
        </div>
      </div>
      <p className={css.facts}>
        <Chip
          tone={isUnsuccessful(outcome) ? 'danger' : outcome === 'ongoing' ? 'accent' : 'plain'}
        >
          <Icon name={call.direction} size={16} />
          {t.calls.direction[call.direction]} · {t.calls.outcome[outcome]}
        </Chip>
        <time dateTime={call.startedAt}>{dateAndTime(call.startedAt)}</time>
        {length !== null && <span>{clockTime(length)}</span>}
        {hungUpHere && <span>{strings.hungUpHere}</span>}
        {call.announced && <span>{strings.announced}</span>}
      </p>
      {cause && <p className={css.cause}>{cause}</p>}
      {asks && <DeleteCall call={call} onClose={() => setAsks(false)} />}
    </header>
  );
}
