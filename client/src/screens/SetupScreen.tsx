import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { Link, Redirect } from 'wouter';
import { ApiError } from '../api/client';
import { sessionQuery } from '../api/queries';
import { Credentials } from '../session/Credentials';
import { NewLink } from '../session/NewLink';
import { isIn, setUp } from '../session/session';
import { forgetSecret, takeSecret } from '../session/setup_link';
import { Welcome } from '../session/Welcome';
import { t } from '../strings';
import { Spinner } from '../ui/controls';

/** Makes the first admin, with the link that the server printed: `/setup#SECRET`. */
export function SetupScreen() {
  const [secret] = useState(takeSecret);
  const [isOver, setIsOver] = useState(secret === '');
  const session = useQuery(sessionQuery);
  if (session.isPending) return <Spinner label={t.ui.loading} />;
  if (session.data && isIn(session.data)) return <Redirect to="/" replace />;
  if (session.data?.setupNeeded === false)
    return (
      <Welcome title={t.session.isSetUp} lead={t.session.isSetUpHint}>
        <Link href="/">{t.session.signIn}</Link>
      </Welcome>
    );
  if (isOver)
    return (
      <Welcome title={t.session.linkOver} lead={t.session.linkOverHint}>
        <NewLink />
      </Welcome>
    );
  const submit = async ({ name, password }: { name: string; password: string }) => {
    try {
      await setUp(secret, name, password);
      forgetSecret();
    } catch (error) {
      if (error instanceof ApiError && error.code === 'not_allowed') setIsOver(true);
      throw error;
    }
  };
  return (
    <Welcome title={t.session.setUp} lead={t.session.setUpHint}>
      <Credentials action={t.session.setUpAction} isNew submit={submit} />
    </Welcome>
  );
}
