/**
 * Re-authentication. The server requires it before a sensitive action; the page asks in a dialog, and
 * then repeats the action.
 */
import { createStore, useStore } from 'zustand';
import { ApiError, api, unwrap } from '../api/client';
import { t } from '../strings';
import { signWithPasskey } from './passkeys';

interface Confirmation {
  /** Called when the user has confirmed. */
  done: () => void;
  /** Called when the user closes the dialog. */
  close: () => void;
}

const store = createStore<{ confirmation: Confirmation | undefined }>(() => ({
  confirmation: undefined,
}));

/** The confirmation that the dialog has to ask for, if any. */
export const useConfirmation = () => useStore(store, ({ confirmation }) => confirmation);

let asking: Promise<void> | undefined;

/** Runs an action; if the server requires it, the user confirms first and the action runs again. */
export async function withConfirmation<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof ApiError && error.code === 'confirm_password')) throw error;
  }
  asking ??= ask();
  await asking;
  return act();
}

/** Opens the dialog; rejects when the user closes it. */
function ask(): Promise<void> {
  const confirmed = new Promise<void>((done, fail) => {
    const close = () => fail(new ApiError('not_confirmed', t.confirm.notDone, 403));
    store.setState({ confirmation: { done, close } });
  });
  return confirmed.finally(() => {
    asking = undefined;
    store.setState({ confirmation: undefined });
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
