import type { SessionState } from '../api/types';
import { NewLink } from '../session/NewLink';
import { SignIn } from '../session/SignIn';
import { Welcome } from '../session/Welcome';
import { t } from '../strings';

/** Who are you? Or, on a server without users: how one comes in, or how the first one is made. */
export function SignInScreen({ session }: { session: SessionState }) {
  if (session.linkNeeded)
    return (
      <Welcome title={t.session.linkNeeded} lead={t.session.linkNeededHint}>
        <NewLink restart={t.session.byRestartAgain} />
      </Welcome>
    );
  if (session.setupNeeded)
    return (
      <Welcome title={t.session.nobodyYet} lead={t.session.nobodyYetHint}>
        <NewLink />
      </Welcome>
    );
  return (
    <Welcome title={t.session.signIn}>
      <SignIn passkeyHost={session.passkeyHost} />
    </Welcome>
  );
}
