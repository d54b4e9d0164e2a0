/** One call in the list: party, outcome, time and search hits. */
import { Link } from 'wouter';
import type { CallHit, Hit } from '../api/types';
import { isFinalStatus, isUnsuccessful, outcomeOf } from '../callRecord/outcome';
import { callBackPath, lengthMs, nameOf } from '../callRecord/party';
import { clockTime, dateAndTime, timeOfDay } from '../format/time';
import { callPath } from '../player/moment';
import { t } from '../strings';
import { IconLink } from '../ui/ButtonLink';
import { Chip, HiddenText } from '../ui/controls';
import { Icon } from '../ui/icons';
import css from './CallRow.module.css';

export function CallRow({
  call,
  formatParty,
}: {
  call: CallHit;
  formatParty: (party: string) => string;
}) {
  const name = nameOf(call, formatParty);
  const outcome = outcomeOf(call);
  const length = lengthMs(call);
  const back = callBackPath(call);
  return (
    <li className={css.row} data-outcome={outcome}>
      <span className={css.sign} data-trouble={isUnsuccessful(outcome) || undefined}>
        <Icon name={call.direction} />
        <HiddenText>{t.calls.direction[call.direction]}</HiddenText>
      </span>
      <div className={css.who}>
        <Link href={callPath(call.sid)} className={css.link}>
          {name}
        </Link>
        <p className={css.how}>
          {!isFinalStatus(call.status) && <span className={css.pulse} />}
          <span data-trouble={isUnsuccessful(outcome) || undefined}>
            {t.calls.outcome[outcome]}
          </span>
          <CallAttributes call={call} />
        </p>
      </div>
      <div className={css.when}>
        <time dateTime={call.startedAt} title={dateAndTime(call.startedAt)}>
          {timeOfDay(call.startedAt)}
        </time>
        {length !== null && (
          <span className={css.length}>
            <HiddenText>{t.calls.length(clockTime(length))}</HiddenText>
            <span aria-hidden="true">{clockTime(length)}</span>
          </span>
        )}
      </div>
      <div className={css.back}>
        {back && <IconLink href={back} icon="phone" label={t.calls.callBack(name)} />}
      </div>
      {call.hits.length > 0 && (
        <ul className={css.hits}>
          {call.hits.map((hit) => (
            <li key={hit.startMs}>
              <Link href={callPath(call.sid, hit.startMs)} className={css.hit}>
                <span className={css.at}>{clockTime(hit.startMs)}</span>
                <Snippet pieces={hit.pieces} />
              </Link>
            </li>
          ))}
        </ul>
      )}
    </li>
  );
}

/** What exists of the call: transcript, audio, recording, notes and labels. */
function CallAttributes({ call }: { call: CallHit }) {
  const { has } = t.calls.list;
  const hasWords = call.transcript === 'complete' || call.transcript === 'interrupted';
  const isRecorded = call.recording === 'completed' || call.recording === 'stopped';
  return (
    <>
      {hasWords && <AttributeIcon name="text" label={has.words} />}
      {call.hasAudio && <AttributeIcon name="speaker" label={has.sound} />}
      {isRecorded && <AttributeIcon name="record" label={has.recording} />}
      {call.notes !== '' && <AttributeIcon name="note" label={has.notes} />}
      {call.labels.map((label) => (
        <Chip key={label}>{label}</Chip>
      ))}
    </>
  );
}

const AttributeIcon = ({
  name,
  label,
}: {
  name: 'text' | 'speaker' | 'record' | 'note';
  label: string;
}) => (
  <span className={css.has} title={label}>
    <Icon name={name} size={16} />
    <HiddenText>{label}</HiddenText>
  </span>
);

/** Every second piece, from the second on, is a match. */
function Snippet({ pieces }: { pieces: Hit['pieces'] }) {
  return (
    <span className={css.snippet}>
      {pieces.map((piece, at) =>
        // biome-ignore lint/suspicious/noArrayIndexKey: pieces have no other key than their index
        at % 2 === 1 ? <mark key={at}>{piece}</mark> : <span key={at}>{piece}</span>,
      )}
    </span>
  );
}
