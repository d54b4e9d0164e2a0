import type { SessionState } from '../api/types';
import { CardPage } from '../session/CardPage';
import { SetupInstructions } from '../session/SetupInstructions';
import { SignIn } from '../session/SignIn';
import { t } from '../strings';

/** Sign-in; on a server without users, the instructions for the printed link. */
export function SignInScreen({ session }: { session: SessionState }) {
  if (session.linkNeeded)
    return (
      <CardPage title={t.session.linkNeeded} lead={t.session.linkNeededHint}>
        <SetupInstructions restart={t.session.byRestartAgain} />
      </CardPage>
    );
  if (session.setupNeeded)
    return (
      <CardPage title={t.session.nobodyYet} lead={t.session.nobodyYetHint}>
        <SetupInstructions />
      </CardPage>
    );
  return (
    <CardPage title={t.session.signIn}>
      <SignIn passkeyHost={session.passkeyHost} />
    </CardPage>
  );
}
