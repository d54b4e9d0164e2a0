/** For admins: the signed-in browsers, API tokens and second factor of another user. */
import { useMutation, useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import {
  endSessionOf,
  removeTokenOf,
  resetFactorOf,
  sessionsOfQuery,
  tokensOfQuery,
} from '../account/requests';
import { messageOf } from '../api/client';
import type { User } from '../api/types';
import { t } from '../strings';
import { Button, Spinner } from '../ui/controls';
import { Dialog } from '../ui/Dialog';
import { showError, showToast } from '../ui/toasts';
import { SessionList } from './Sessions';
import css from './settings.module.css';
import { TokenList } from './Tokens';

const words = t.settings.userAccess;

interface Change {
  act: () => Promise<void>;
  /** The message after it. */
  done: string;
}

export function UserAccess({ user, onClose }: { user: User; onClose: () => void }) {
  const sessions = useQuery(sessionsOfQuery(user.id));
  const tokens = useQuery(tokensOfQuery(user.id));
  const change = useMutation({
    mutationFn: ({ act }: Change) => act(),
    onSuccess: (_, { done }) => showToast(done),
    onError: (error) => showError(messageOf(error)),
  });
  const error = sessions.error ?? tokens.error;
  return (
    <Dialog title={words.title(user.name)} onClose={onClose}>
      {error && <p className={css.wrong}>{messageOf(error)}</p>}
      {(sessions.isPending || tokens.isPending) && <Spinner label={words.loading} />}
      <Part title={words.sessions} none={sessions.data?.sessions.length === 0 && words.noSessions}>
        <SessionList
          sessions={sessions.data?.sessions ?? []}
          onEnd={(session) =>
            change.mutate({
              act: () => endSessionOf(user.id, session.id),
              done: t.settings.sessions.ended(session.browser),
            })
          }
        />
      </Part>
      <Part title={words.tokens} none={tokens.data?.tokens.length === 0 && t.settings.tokens.none}>
        <TokenList
          tokens={tokens.data?.tokens ?? []}
          onRevoke={(token) =>
            change.mutate({
              act: () => removeTokenOf(user.id, token.id),
              done: t.settings.tokens.revoked(token.name),
            })
          }
        />
      </Part>
      <FactorPart user={user} isBusy={change.isPending} onChange={change.mutate} />
      <div className={css.actions}>
        <Button onClick={onClose}>{t.ui.close}</Button>
      </div>
    </Dialog>
  );
}

function Part({
  title,
  none = false,
  children,
}: {
  title: string;
  /** The text for an empty list; false: it is not empty. */
  none?: string | false;
  children: ReactNode;
}) {
  return (
    <section className={css.part}>
      <h3>{title}</h3>
      {none && <p className={css.hint}>{none}</p>}
      {children}
    </section>
  );
}

function FactorPart({
  user,
  isBusy,
  onChange,
}: {
  user: User;
  isBusy: boolean;
  onChange: (change: Change) => void;
}) {
  const reset = { act: () => resetFactorOf(user.id), done: words.factorReset(user.name) };
  return (
    <Part title={words.factor}>
      <p className={css.hint}>{user.hasSecondFactor ? words.factorHint : words.noFactor}</p>
      {user.hasSecondFactor && (
        <div>
          <Button disabled={isBusy} onClick={() => onChange(reset)}>
            {words.resetFactor}
          </Button>
        </div>
      )}
    </Part>
  );
}
