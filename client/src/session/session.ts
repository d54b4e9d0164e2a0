/** Signing in and out, and the last session. */
import { createStore, useStore } from 'zustand';
import { signWithPasskey } from '../account/passkeys';
import { api, unwrap } from '../api/client';
import { queries, sessionQuery } from '../api/queries';
import type { SecondStep, SessionState } from '../api/types';
import { forgetCalls, wakeLink } from '../live/store';

/** Whether the session gives access to the page. */
export const hasAccess = (session: SessionState) => session.open || session.user != null;

/** Identifies the user of the page, which resets when it changes. */
export const identityOf = (session: SessionState) => session.user?.id ?? 'open';

interface LastSession {
  /** The last session with access; signing out clears it. */
  readonly last: SessionState | undefined;
}

const lastSession = createStore<LastSession>(() => ({ last: undefined }));

/** The last session with access, until the user signs out. */
export const useLastSession = () => useStore(lastSession, ({ last }) => last);

/** Remembers a session with access. */
export const rememberSession = (session: SessionState) => lastSession.setState({ last: session });

/** An activity that ends with the session, such as the phone. */
export interface Activity {
  /** Whether a call is in progress, so that signing out asks first. */
  isBusy: () => boolean;
  end: () => void | Promise<void>;
  /** Called when the user has signed in again after losing the session. */
  resume: () => void;
}

const activities = new Set<Activity>();

/** Registers an activity that signing out ends, until the returned function is called. */
export function endWithSession(activity: Activity): () => void {
  activities.add(activity);
  return () => {
    activities.delete(activity);
  };
}

/** Whether signing out would end a call. */
export const isBusy = () => [...activities].some((activity) => activity.isBusy());

/** Signs in; returns the second step if the user has a second factor. */
export async function signIn(name: string, password: string): Promise<SecondStep | undefined> {
  const body = { name, password };
  const result = await unwrap(api.POST('/api/session', { body }));
  if ('token' in result) return result;
  enter(result);
  return undefined;
}

/** Completes a sign-in with the token of its first step. */
export async function finishSignIn(token: string, proof: { code: string } | { passkey: object }) {
  const body = { token, ...proof } as { token: string; code?: string };
  enter(await unwrap(api.POST('/api/session/factor', { body })));
}

/** Signs in with a passkey alone. */
export async function signInWithPasskey() {
  const { token, options } = await unwrap(api.POST('/api/session/passkey/options'));
  const body = { token, credential: await signWithPasskey(options) };
  enter(await unwrap(api.POST('/api/session/passkey', { body })));
}

/** Opens a server without users to this browser, with the secret of the printed link. */
export async function openPage(secret: string) {
  const session = await unwrap(api.POST('/api/session/open', { body: { secret } }));
  // A response from before the link was used may still be on its way.
  await queries.cancelQueries({ queryKey: sessionQuery.queryKey });
  enter(session);
}

/** Creates the first admin, and signs them in. */
export async function setUp(secret: string, name: string, password: string) {
  const body = { secret, name, password };
  enter(await unwrap(api.POST('/api/setup', { body })));
}

/** Ends all activities, then the session. If the server refuses, the user stays signed in. */
export async function signOut() {
  // The session must end even if the phone fails to hang up.
  await Promise.allSettled([...activities].map(async (activity) => activity.end()));
  await unwrap(api.DELETE('/api/session'));
  forgetUser();
  queries.setQueryData(sessionQuery.queryKey, {
    user: null,
    open: false,
    linkNeeded: false,
    setupNeeded: false,
  });
  // Only the server knows whether passkeys work here.
  void queries.invalidateQueries({ queryKey: sessionQuery.queryKey });
}

/** Removes all data of the last user. */
function forgetUser() {
  lastSession.setState({ last: undefined });
  forgetCalls();
  queries.removeQueries({ predicate: ({ queryKey }) => queryKey[0] !== sessionQuery.queryKey[0] });
}

function enter(session: SessionState) {
  const last = lastSession.getState().last;
  const isSame = last !== undefined && identityOf(last) === identityOf(session);
  if (!isSame) forgetUser();
  queries.setQueryData(sessionQuery.queryKey, session);
  // Requests may have failed while nobody was signed in.
  if (isSame) {
    for (const activity of activities) activity.resume();
    void queries.invalidateQueries({
      predicate: ({ queryKey }) => queryKey[0] !== sessionQuery.queryKey[0],
    });
  }
  wakeLink();
}
