import type { SessionState } from '../api/types';

/** Who are you? Or, on a server without users: how the first one is made. */
export function SignInScreen({ session }: { session: SessionState }) {
  return <h1>{session.setupNeeded ? 'setup' : 'sign in'}</h1>;
}
