/** Who it was, when, for how long, and how it went. */
import { useState } from 'react';
import { Link } from 'wouter';
import type { CallDetail } from '../api/types';
import { clockTime, dateAndTime } from '../format';
import { t } from '../strings';
import { Chip, IconButton } from '../ui/controls';
import { Icon } from '../ui/icons';
import { ButtonLink } from './ButtonLink';
import css from './CallHead.module.css';
import { DeleteCall } from './DeleteCall';
import { isOver, isTrouble, outcomeOf } from './outcome';
import { callBackPath, causeOf, lengthMs } from './party';
import { listPath } from './place';

export function CallHead({ call, name }: { call: CallDetail; name: string }) {
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
          {isOver(call.status) && (
            <IconButton icon="trash" label={t.calls.remove.button} onClick={() => setAsks(true)} />
          )}
        </div>
      </div>
      <p className={css.facts}>
        <Chip tone={isTrouble(outcome) ? 'danger' : outcome === 'ongoing' ? 'accent' : 'plain'}>
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
