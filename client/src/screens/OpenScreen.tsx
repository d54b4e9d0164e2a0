import { useMutation, useQuery } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { Redirect } from 'wouter';
import { ApiError, messageOf } from '../api/client';
import { sessionQuery } from '../api/queries';
import { CardPage } from '../session/CardPage';
import { SetupInstructions } from '../session/SetupInstructions';
import { hasAccess, openPage } from '../session/session';
import { forgetLinkSecret, takeLinkSecret } from '../session/setupLink';
import { t } from '../strings';
import { Button, Empty, Loading } from '../ui/controls';

/** `/open#SECRET`: opens a server without users, with the link that it printed. */
export function OpenScreen() {
  const [secret] = useState(takeLinkSecret);
  const session = useQuery(sessionQuery);
  const { mutate, error, isPending } = useMutation({
    mutationFn: openPage,
    onSuccess: forgetLinkSecret,
  });
  useEffect(() => mutate(secret), [mutate, secret]);
  if (session.data && hasAccess(session.data)) return <Redirect to="/" replace />;
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
  // There are users, or the start page explains why the server is closed.
  if (!session.data?.linkNeeded) return <Redirect to="/" replace />;
  return (
    <CardPage title={t.session.linkWrong} lead={t.session.linkWrongHint}>
      <SetupInstructions restart={t.session.byRestartAgain} />
    </CardPage>
  );
}
