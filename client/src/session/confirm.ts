/**
 * Proving that it is still you. The server asks for it before something sensitive; the page asks in a
 * dialog, and then goes on with what was asked.
 */
import { createStore, useStore } from 'zustand';
import { ApiError, api, unwrap } from '../api/client';
import { t } from '../strings';
import { signWithPasskey } from './passkeys';

interface Question {
  /** The user proved it. */
  done: () => void;
  /** The user closed the dialog. */
  close: () => void;
}

const store = createStore<{ question: Question | undefined }>(() => ({ question: undefined }));

/** What the dialog is to ask, if anything. */
export const useQuestion = () => useStore(store, ({ question }) => question);

let asking: Promise<void> | undefined;

/** Does what may be sensitive; asks the user to prove that it is them, if the server wants it. */
export async function confirmed<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof ApiError && error.code === 'confirm_password')) throw error;
  }
  asking ??= ask();
  await asking;
  return act();
}

/** Opens the dialog; fails when the user closes it. */
function ask(): Promise<void> {
  const answer = new Promise<void>((done, fail) => {
    const close = () => fail(new ApiError('not_confirmed', t.confirm.notDone, 403));
    store.setState({ question: { done, close } });
  });
  return answer.finally(() => {
    asking = undefined;
    store.setState({ question: undefined });
  });
}

export const confirmWithPassword = (password: string) =>
  unwrap(api.POST('/api/session/confirm', { body: { password } }));

export async function confirmWithPasskey() {
  const { token, options } = await unwrap(api.POST('/api/session/confirm/options'));
  const credential = await signWithPasskey(options);
  const body = { passkey: { token, credential } };
  await unwrap(api.POST('/api/session/confirm', { body }));
}
