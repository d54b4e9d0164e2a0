/** Signing in and out, and who was here last. */
import { createStore, useStore } from 'zustand';
import { api, unwrap } from '../api/client';
import { queries, sessionQuery } from '../api/queries';
import type { SecondStep, SessionState } from '../api/types';
import { forgetCalls, wakeLink } from '../live/store';
import { signWithPasskey } from './passkeys';

/** Whether one may use the page. */
export const isIn = (session: SessionState) => session.open || session.user != null;

/** Who uses the page, as far as it must not change under it. */
export const identityOf = (session: SessionState) => session.user?.id ?? 'open';

interface Presence {
  /** Who has been let in, and has not left on purpose; their screens stay. */
  readonly last: SessionState | undefined;
}

const presence = createStore<Presence>(() => ({ last: undefined }));

/** Who was let in last, until they sign out. */
export const useLastSession = () => useStore(presence, ({ last }) => last);

/** Remembers who was let in. */
export const remember = (session: SessionState) => presence.setState({ last: session });

/** What goes on in the page, and has to end with the session: the phone. */
export interface Ongoing {
  /** Whether a call goes on, so that one has to ask before it is ended. */
  isBusy: () => boolean;
  end: () => void | Promise<void>;
  /** The user is signed in again, after a session that ended by itself. */
  resume: () => void;
}

const ongoing = new Set<Ongoing>();

/** Declares something that ends when the user signs out; call what it returns to take it back. */
export function endsWithSession(thing: Ongoing): () => void {
  ongoing.add(thing);
  return () => {
    ongoing.delete(thing);
  };
}

/** Whether signing out would end a call. */
export const isBusy = () => [...ongoing].some((thing) => thing.isBusy());

/** Signs in; or what the second step needs, where there is one. */
export async function signIn(name: string, password: string): Promise<SecondStep | undefined> {
  const body = { name, password };
  const answer = await unwrap(api.POST('/api/session', { body }));
  if ('token' in answer) return answer;
  enter(answer);
  return undefined;
}

/** The second step, with what the first one answered. */
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

/** Opens this browser to a server without users, with the link that the server printed. */
export async function openPage(secret: string) {
  const session = await unwrap(api.POST('/api/session/open', { body: { secret } }));
  // The first question who uses this browser may be on its way, and know nothing of the link.
  await queries.cancelQueries({ queryKey: sessionQuery.queryKey });
  enter(session);
}

/** Makes the first admin, who is signed in then. */
export async function setUp(secret: string, name: string, password: string) {
  const body = { secret, name, password };
  enter(await unwrap(api.POST('/api/setup', { body })));
}

/** Ends what is live, then the session. The server's refusal leaves the user where they are. */
export async function signOut() {
  // The phone may fail to hang up; the session ends all the same.
  await Promise.allSettled([...ongoing].map(async (thing) => thing.end()));
  await unwrap(api.DELETE('/api/session'));
  leave();
  queries.setQueryData(sessionQuery.queryKey, {
    user: null,
    open: false,
    linkNeeded: false,
    setupNeeded: false,
  });
  // Whether passkeys are good here, it knows only when it asks.
  void queries.invalidateQueries({ queryKey: sessionQuery.queryKey });
}

/** Nothing of the last user's stays in the page. */
function leave() {
  presence.setState({ last: undefined });
  forgetCalls();
  queries.removeQueries({ predicate: ({ queryKey }) => queryKey[0] !== sessionQuery.queryKey[0] });
}

function enter(session: SessionState) {
  const last = presence.getState().last;
  const isSame = last !== undefined && identityOf(last) === identityOf(session);
  if (!isSame) leave();
  queries.setQueryData(sessionQuery.queryKey, session);
  // What failed while nobody was signed in is asked for again.
  if (isSame) {
    for (const thing of ongoing) thing.resume();
    void queries.invalidateQueries({
      predicate: ({ queryKey }) => queryKey[0] !== sessionQuery.queryKey[0],
    });
  }
  wakeLink();
}
