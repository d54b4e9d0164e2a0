import type { SessionState } from '../api/types';
import { Credentials } from '../session/Credentials';
import { NewLink } from '../session/NewLink';
import { signIn } from '../session/session';
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
      <Credentials
        action={t.session.signIn}
        submit={({ name, password }) => signIn(name, password)}
      />
    </Welcome>
  );
}
