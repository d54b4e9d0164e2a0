import { useMutation, useQuery } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { Redirect } from 'wouter';
import { ApiError, messageOf } from '../api/client';
import { sessionQuery } from '../api/queries';
import { NewLink } from '../session/NewLink';
import { isIn, openPage } from '../session/session';
import { forgetSecret, takeSecret } from '../session/setup_link';
import { Welcome } from '../session/Welcome';
import { t } from '../strings';
import { Button, Empty, Loading } from '../ui/controls';

/** Opens the page of a server without users, with the link that the server printed: `/open#SECRET`. */
export function OpenScreen() {
  const [secret] = useState(takeSecret);
  const session = useQuery(sessionQuery);
  const { mutate, error, isPending } = useMutation({
    mutationFn: openPage,
    onSuccess: forgetSecret,
  });
  useEffect(() => mutate(secret), [mutate, secret]);
  if (session.data && isIn(session.data)) return <Redirect to="/" replace />;
  if (isPending || session.isPending || !error) return <Loading />;
  const isRefused = error instanceof ApiError && error.status >= 400 && error.status < 500;
  if (!isRefused)
    return (
      <main>
        <Empty
          title={messageOf(error)}
          action={<Button onClick={() => mutate(secret)}>{t.ui.retry}</Button>}
        />
      </main>
    );
  // There are users, or the server says itself why it is shut.
  if (!session.data?.linkNeeded) return <Redirect to="/" replace />;
  return (
    <Welcome title={t.session.linkWrong} lead={t.session.linkWrongHint}>
      <NewLink restart={t.session.byRestartAgain} />
    </Welcome>
  );
}
