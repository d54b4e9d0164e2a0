/** For admins: what somebody comes in with, and its end. */
import { useMutation, useQuery } from '@tanstack/react-query';
import { messageOf } from '../api/client';
import type { User } from '../api/types';
import { t } from '../strings';
import { Button, Spinner } from '../ui/controls';
import { Dialog } from '../ui/Dialog';
import { complain, say } from '../ui/toasts';
import {
  endSessionOf,
  removeTokenOf,
  resetFactorOf,
  sessionsOfQuery,
  tokensOfQuery,
} from './people';
import { SessionList } from './Sessions';
import css from './settings.module.css';
import { TokenList } from './Tokens';

const words = t.settings.userAccess;

export function UserAccess({ user, onClose }: { user: User; onClose: () => void }) {
  const sessions = useQuery(sessionsOfQuery(user.id));
  const tokens = useQuery(tokensOfQuery(user.id));
  const change = useMutation({
    mutationFn: ({ act }: { act: () => Promise<void>; done: string }) => act(),
    onSuccess: (_, { done }) => say(done),
    onError: (error) => complain(messageOf(error)),
  });
  const error = sessions.error ?? tokens.error;
  return (
    <Dialog title={words.title(user.name)} onClose={onClose}>
      {error && <p className={css.wrong}>{messageOf(error)}</p>}
      {(sessions.isPending || tokens.isPending) && <Spinner label={words.loading} />}
      <section className={css.part}>
        <h3>{words.sessions}</h3>
        {sessions.data?.sessions.length === 0 && <p className={css.hint}>{words.noSessions}</p>}
        <SessionList
          sessions={sessions.data?.sessions ?? []}
          onEnd={(session) =>
            change.mutate({
              act: () => endSessionOf(user.id, session.id),
              done: t.settings.sessions.ended(session.browser),
            })
          }
        />
      </section>
      <section className={css.part}>
        <h3>{words.tokens}</h3>
        {tokens.data?.tokens.length === 0 && <p className={css.hint}>{t.settings.tokens.none}</p>}
        <TokenList
          tokens={tokens.data?.tokens ?? []}
          onTakeBack={(token) =>
            change.mutate({
              act: () => removeTokenOf(user.id, token.id),
              done: t.settings.tokens.takenBack(token.name),
            })
          }
        />
      </section>
      <section className={css.part}>
        <h3>{words.factor}</h3>
        <p className={css.hint}>{user.hasSecondFactor ? words.factorHint : words.noFactor}</p>
        {user.hasSecondFactor && (
          <div>
            <Button
              disabled={change.isPending}
              onClick={() =>
                change.mutate({
                  act: () => resetFactorOf(user.id),
                  done: words.factorReset(user.name),
                })
              }
            >
              {words.resetFactor}
            </Button>
          </div>
        )}
      </section>
      <div className={css.actions}>
        <Button onClick={onClose}>{t.ui.close}</Button>
      </div>
    </Dialog>
  );
}
