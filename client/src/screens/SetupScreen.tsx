import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { Link, Redirect } from 'wouter';
import { ApiError } from '../api/client';
import { sessionQuery } from '../api/queries';
import { CardPage } from '../session/CardPage';
import { Credentials } from '../session/Credentials';
import { SetupInstructions } from '../session/SetupInstructions';
import { hasAccess, setUp } from '../session/session';
import { forgetLinkSecret, takeLinkSecret } from '../session/setupLink';
import { t } from '../strings';
import { Spinner } from '../ui/controls';

/** `/setup#SECRET`: creates the first admin, with the link that the server printed. */
export function SetupScreen() {
  const [secret] = useState(takeLinkSecret);
  const [hasExpired, setHasExpired] = useState(secret === '');
  const session = useQuery(sessionQuery);
  if (session.isPending) return <Spinner label={t.ui.loading} />;
  if (session.data && hasAccess(session.data)) return <Redirect to="/" replace />;
  if (session.data?.setupNeeded === false)
    return (
      <CardPage title={t.session.isSetUp} lead={t.session.isSetUpHint}>
        <Link href="/">{t.session.signIn}</Link>
      </CardPage>
    );
  if (hasExpired)
    return (
      <CardPage title={t.session.linkOver} lead={t.session.linkOverHint}>
        <SetupInstructions />
      </CardPage>
    );
  const submit = async ({ name, password }: { name: string; password: string }) => {
    try {
      await setUp(secret, name, password);
      forgetLinkSecret();
    } catch (error) {
      if (error instanceof ApiError && error.code === 'not_allowed') setHasExpired(true);
      throw error;
    }
  };
  return (
    <CardPage title={t.session.setUp} lead={t.session.setUpHint}>
      <Credentials action={t.session.setUpAction} isNew submit={submit} />
    </CardPage>
  );
}
