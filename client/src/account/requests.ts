/**
 * Queries and changes of users, sessions, API tokens and second factors. Sensitive changes ask the
 * user to confirm their identity.
 */
import { queryOptions } from '@tanstack/react-query';
import { api, unwrap } from '../api/client';
import { queries } from '../api/queries';
import type { Role, Scope } from '../api/types';
import { withConfirmation } from './confirm';
import { makePasskey } from './passkeys';

export const usersQuery = queryOptions({
  queryKey: ['users'],
  queryFn: ({ signal }) => unwrap(api.GET('/api/users', { signal })),
});

export const tokensQuery = queryOptions({
  queryKey: ['tokens'],
  queryFn: ({ signal }) => unwrap(api.GET('/api/tokens', { signal })),
});

export const sessionsQuery = queryOptions({
  queryKey: ['sessions'],
  queryFn: ({ signal }) => unwrap(api.GET('/api/sessions', { signal })),
});

export const secondFactorQuery = queryOptions({
  queryKey: ['second-factor'],
  queryFn: ({ signal }) => unwrap(api.GET('/api/second-factor', { signal })),
});

const path = (id: number) => ({ path: { id } });

export const sessionsOfQuery = (id: number) =>
  queryOptions({
    queryKey: ['users', id, 'sessions'],
    queryFn: ({ signal }) =>
      unwrap(api.GET('/api/users/{id}/sessions', { params: path(id), signal })),
  });

export const tokensOfQuery = (id: number) =>
  queryOptions({
    queryKey: ['users', id, 'tokens'],
    queryFn: ({ signal }) =>
      unwrap(api.GET('/api/users/{id}/tokens', { params: path(id), signal })),
  });

/** Fetches a list again. */
const refresh = (query: { queryKey: readonly unknown[] }) =>
  queries.invalidateQueries({ queryKey: query.queryKey });

export async function addUser(body: { name: string; password: string; role: Role }) {
  const user = await withConfirmation(() => unwrap(api.POST('/api/users', { body })));
  await refresh(usersQuery);
  return user;
}

export async function setRole(id: number, role: Role) {
  await withConfirmation(() =>
    unwrap(api.PATCH('/api/users/{id}', { params: path(id), body: { role } })),
  );
  await refresh(usersQuery);
}

/** Sets the password of a user. Changing one's own password requires the old one. */
export async function setPassword(id: number, password: string, oldPassword?: string) {
  const body = oldPassword === undefined ? { password } : { password, oldPassword };
  const user = await withConfirmation(() =>
    unwrap(api.PATCH('/api/users/{id}', { params: path(id), body })),
  );
  await Promise.all([refresh(usersQuery), refresh(sessionsQuery)]);
  return user;
}

export async function removeUser(id: number) {
  await withConfirmation(() => unwrap(api.DELETE('/api/users/{id}', { params: path(id) })));
  await refresh(usersQuery);
}

/** Creates an API token; only this response contains its secret. */
export async function addToken(body: {
  name: string;
  scopes: Scope[];
  expiresAt: string | null;
  neverExpires: boolean;
}) {
  const added = await withConfirmation(() => unwrap(api.POST('/api/tokens', { body })));
  await refresh(tokensQuery);
  return added;
}

export async function removeToken(id: number) {
  await unwrap(api.DELETE('/api/tokens/{id}', { params: path(id) }));
  await refresh(tokensQuery);
}

export async function endSession(id: string) {
  await unwrap(api.DELETE('/api/sessions/{id}', { params: { path: { id } } }));
  await refresh(sessionsQuery);
}

export async function endOtherSessions() {
  await unwrap(api.DELETE('/api/sessions'));
  await refresh(sessionsQuery);
}

export async function endSessionOf(id: number, session: string) {
  const params = { path: { id, session } };
  await withConfirmation(() =>
    unwrap(api.DELETE('/api/users/{id}/sessions/{session}', { params })),
  );
  await refresh(sessionsOfQuery(id));
}

export async function removeTokenOf(id: number, token: number) {
  const params = { path: { id, token } };
  await withConfirmation(() => unwrap(api.DELETE('/api/users/{id}/tokens/{token}', { params })));
  await refresh(tokensOfQuery(id));
}

/** Removes the second factors of a user who has lost them. */
export async function resetFactorOf(id: number) {
  await withConfirmation(() =>
    unwrap(api.DELETE('/api/users/{id}/second-factor', { params: path(id) })),
  );
  await refresh(usersQuery);
}

export const beginTotp = () => withConfirmation(() => unwrap(api.POST('/api/second-factor/totp')));

/** Adds an authenticator app; returns recovery codes if it is the first factor. */
export async function finishTotp(token: string, code: string) {
  const body = { token, code };
  const added = await withConfirmation(() => unwrap(api.PUT('/api/second-factor/totp', { body })));
  await refresh(secondFactorQuery);
  return added.recoveryCodes ?? undefined;
}

export async function removeTotp() {
  await withConfirmation(() => unwrap(api.DELETE('/api/second-factor/totp')));
  await refresh(secondFactorQuery);
}

/** Adds a passkey; returns recovery codes if it is the first factor. */
export async function addPasskey(name: string) {
  const begun = await withConfirmation(() =>
    unwrap(api.POST('/api/second-factor/passkeys/options')),
  );
  const body = { token: begun.token, name, credential: await makePasskey(begun.options) };
  const added = await unwrap(api.POST('/api/second-factor/passkeys', { body }));
  await refresh(secondFactorQuery);
  return added.recoveryCodes ?? undefined;
}

export async function removePasskey(id: number) {
  await withConfirmation(() =>
    unwrap(api.DELETE('/api/second-factor/passkeys/{id}', { params: path(id) })),
  );
  await refresh(secondFactorQuery);
}

export async function renewRecoveryCodes() {
  const renewed = await withConfirmation(() =>
    unwrap(api.POST('/api/second-factor/recovery-codes')),
  );
  await refresh(secondFactorQuery);
  return renewed.recoveryCodes;
}
