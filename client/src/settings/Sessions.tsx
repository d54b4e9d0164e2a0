/** The browsers in which the user is signed in, with buttons that sign them out. */
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { endOtherSessions, endSession, sessionsQuery } from '../account/requests';
import { messageOf } from '../api/client';
import type { SessionInfo } from '../api/types';
import { dateAndTime } from '../format/time';
import { t } from '../strings';
import { Button, Chip, Empty, IconButton, Spinner } from '../ui/controls';
import { ConfirmRemoval } from './ConfirmRemoval';
import { Section } from './Section';
import css from './settings.module.css';

const words = t.settings.sessions;

export function Sessions() {
  const sessions = useQuery(sessionsQuery);
  const [ending, setEnding] = useState<SessionInfo | 'others'>();
  const list = sessions.data?.sessions ?? [];
  const close = () => setEnding(undefined);
  return (
    <Section
      id="sessions"
      title={words.title}
      hint={words.hint}
      action={
        list.length > 1 && <Button onClick={() => setEnding('others')}>{words.endOthers}</Button>
      }
    >
      {sessions.isPending && <Spinner label={words.loading} />}
      {sessions.isError && !sessions.data && (
        <Empty
          title={messageOf(sessions.error)}
          action={<Button onClick={() => sessions.refetch()}>{t.ui.retry}</Button>}
        />
      )}
      {list.length > 0 && <SessionList sessions={list} onEnd={setEnding} />}
      {ending === 'others' && (
        <ConfirmRemoval
          title={words.endOthersTitle}
          text={words.endOthersText}
          action={words.endOthers}
          done={words.othersEnded}
          remove={endOtherSessions}
          onClose={close}
        />
      )}
      {ending && ending !== 'others' && (
        <ConfirmRemoval
          title={words.endTitle(ending.browser)}
          text={words.endText}
          action={words.end}
          done={words.ended(ending.browser)}
          remove={() => endSession(ending.id)}
          onClose={close}
        />
      )}
    </Section>
  );
}

/** A list of sessions with sign-out buttons, except for the current one. */
export function SessionList({
  sessions,
  onEnd,
}: {
  sessions: readonly SessionInfo[];
  onEnd: (session: SessionInfo) => void;
}) {
  return (
    <ul className={css.list}>
      {sessions.map((session) => (
        <li key={session.id} className={css.item}>
          <div className={css.itemText}>
            <span className={css.itemName}>
              {session.browser} {session.isCurrent && <Chip tone="accent">{words.current}</Chip>}
            </span>
            <span className={css.soft}>
              {[
                session.address && words.from(session.address),
                words.since(dateAndTime(session.createdAt)),
                words.used(dateAndTime(session.usedAt)),
              ]
                .filter(Boolean)
                .join(' · ')}
            </span>
          </div>
          {!session.isCurrent && (
            <IconButton
              icon="signOut"
              label={words.endOf(session.browser)}
              onClick={() => onEnd(session)}
            />
          )}
        </li>
      ))}
    </ul>
  );
}
