/** The events and legs of a call, in detail. */
import type { CallDetail } from '../api/types';
import { dateAndTime } from '../format/time';
import { t } from '../strings';
import details from '../ui/details.module.css';
import css from './Details.module.css';

export function CallEvents({ call }: { call: CallDetail }) {
  const strings = t.calls.events;
  return (
    <details className={details.section}>
      <summary>
        <h2>{strings.title}</h2>
      </summary>
      {call.events.length === 0 && <p className={css.soft}>{strings.nothing}</p>}
      <ol className={css.events}>
        {call.events.map((event, at) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: events have no ids, and are only appended
          <li key={at}>
            <time dateTime={event.at} className={css.soft}>
              {dateAndTime(event.at)}
            </time>
            <span>{strings.kinds[event.kind] ?? event.kind.replaceAll('_', ' ')}</span>
            {event.detail && <span className={css.soft}>{event.detail}</span>}
          </li>
        ))}
      </ol>
      <h3>{strings.legs}</h3>
      <ul className={css.events}>
        {call.legs.map((leg) => (
          <li key={leg.sid}>
            <span>
              {leg.isChild ? strings.child : strings.parent}: {strings.states[leg.status]}
              {leg.sipCode != null && ` · ${strings.sip(leg.sipCode)}`}
            </span>
            <code className={css.sid}>{leg.sid}</code>
          </li>
        ))}
      </ul>
    </details>
  );
}
