/** The browsers that one is signed in with, and their end. */
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { messageOf } from '../api/client';
import type { SessionInfo } from '../api/types';
import { dateAndTime } from '../format';
import { t } from '../strings';
import { Button, Chip, Empty, IconButton, Spinner } from '../ui/controls';
import { ConfirmRemoval } from './ConfirmRemoval';
import { endOtherSessions, endSession, sessionsQuery } from './people';
import { Section } from './Section';
import css from './settings.module.css';

const words = t.settings.sessions;

export function Sessions() {
  const sessions = useQuery(sessionsQuery);
  const [leaving, setLeaving] = useState<SessionInfo | 'others'>();
  const list = sessions.data?.sessions ?? [];
  const close = () => setLeaving(undefined);
  return (
    <Section
      id="sessions"
      title={words.title}
      hint={words.hint}
      action={
        list.length > 1 && <Button onClick={() => setLeaving('others')}>{words.endOthers}</Button>
      }
    >
      {sessions.isPending && <Spinner label={words.loading} />}
      {sessions.isError && !sessions.data && (
        <Empty
          title={messageOf(sessions.error)}
          action={<Button onClick={() => sessions.refetch()}>{t.ui.retry}</Button>}
        />
      )}
      {list.length > 0 && <SessionList sessions={list} onEnd={setLeaving} />}
      {leaving === 'others' && (
        <ConfirmRemoval
          title={words.endOthersTitle}
          text={words.endOthersText}
          action={words.endOthers}
          done={words.othersEnded}
          remove={endOtherSessions}
          onClose={close}
        />
      )}
      {leaving && leaving !== 'others' && (
        <ConfirmRemoval
          title={words.endTitle(leaving.browser)}
          text={words.endText}
          action={words.end}
          done={words.ended(leaving.browser)}
          remove={() => endSession(leaving.id)}
          onClose={close}
        />
      )}
    </Section>
  );
}

/** Browsers, each with its way out; the one that asks has its own, to sign out. */
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
