/**
 * Users, sessions, API tokens and second factors: asked for and changed at the server, which has the
 * last word. What is sensitive asks the user to prove that it is them, and then goes on.
 */
import { queryOptions } from '@tanstack/react-query';
import { api, unwrap } from '../api/client';
import { queries } from '../api/queries';
import type { Role, Scope } from '../api/types';
import { confirmed } from '../session/confirm';
import { makePasskey } from '../session/passkeys';

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

/** Shows the list as the server has it now. */
const again = (query: { queryKey: readonly unknown[] }) =>
  queries.invalidateQueries({ queryKey: query.queryKey });

export async function addUser(body: { name: string; password: string; role: Role }) {
  const user = await confirmed(() => unwrap(api.POST('/api/users', { body })));
  await again(usersQuery);
  return user;
}

export async function setRole(id: number, role: Role) {
  await confirmed(() => unwrap(api.PATCH('/api/users/{id}', { params: path(id), body: { role } })));
  await again(usersQuery);
}

/** Gives someone a password. One's own needs the old one. */
export async function setPassword(id: number, password: string, oldPassword?: string) {
  const body = oldPassword === undefined ? { password } : { password, oldPassword };
  const user = await confirmed(() =>
    unwrap(api.PATCH('/api/users/{id}', { params: path(id), body })),
  );
  await Promise.all([again(usersQuery), again(sessionsQuery)]);
  return user;
}

export async function removeUser(id: number) {
  await confirmed(() => unwrap(api.DELETE('/api/users/{id}', { params: path(id) })));
  await again(usersQuery);
}

/** Lets a machine in; the answer is the only one with the secret. */
export async function addToken(body: {
  name: string;
  scopes: Scope[];
  expiresAt: string | null;
  neverExpires: boolean;
}) {
  const added = await confirmed(() => unwrap(api.POST('/api/tokens', { body })));
  await again(tokensQuery);
  return added;
}

export async function removeToken(id: number) {
  await unwrap(api.DELETE('/api/tokens/{id}', { params: path(id) }));
  await again(tokensQuery);
}

export async function endSession(id: string) {
  await unwrap(api.DELETE('/api/sessions/{id}', { params: { path: { id } } }));
  await again(sessionsQuery);
}

export async function endOtherSessions() {
  await unwrap(api.DELETE('/api/sessions'));
  await again(sessionsQuery);
}

export async function endSessionOf(id: number, session: string) {
  const params = { path: { id, session } };
  await confirmed(() => unwrap(api.DELETE('/api/users/{id}/sessions/{session}', { params })));
  await again(sessionsOfQuery(id));
}

export async function removeTokenOf(id: number, token: number) {
  const params = { path: { id, token } };
  await confirmed(() => unwrap(api.DELETE('/api/users/{id}/tokens/{token}', { params })));
  await again(tokensOfQuery(id));
}

/** Takes someone's second factor away, who lost it. */
export async function resetFactorOf(id: number) {
  await confirmed(() => unwrap(api.DELETE('/api/users/{id}/second-factor', { params: path(id) })));
  await again(usersQuery);
}

export const beginTotp = () => confirmed(() => unwrap(api.POST('/api/second-factor/totp')));

/** The recovery codes, if these are the first. */
export async function finishTotp(token: string, code: string) {
  const body = { token, code };
  const added = await confirmed(() => unwrap(api.PUT('/api/second-factor/totp', { body })));
  await again(secondFactorQuery);
  return added.recoveryCodes ?? undefined;
}

export async function removeTotp() {
  await confirmed(() => unwrap(api.DELETE('/api/second-factor/totp')));
  await again(secondFactorQuery);
}

/** The recovery codes, if these are the first. */
export async function addPasskey(name: string) {
  const begun = await confirmed(() => unwrap(api.POST('/api/second-factor/passkeys/options')));
  const body = { token: begun.token, name, credential: await makePasskey(begun.options) };
  const added = await unwrap(api.POST('/api/second-factor/passkeys', { body }));
  await again(secondFactorQuery);
  return added.recoveryCodes ?? undefined;
}

export async function removePasskey(id: number) {
  await confirmed(() =>
    unwrap(api.DELETE('/api/second-factor/passkeys/{id}', { params: path(id) })),
  );
  await again(secondFactorQuery);
}

export async function renewRecoveryCodes() {
  const renewed = await confirmed(() => unwrap(api.POST('/api/second-factor/recovery-codes')));
  await again(secondFactorQuery);
  return renewed.recoveryCodes;
}
