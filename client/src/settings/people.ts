/** Users and API tokens: asked for and changed at the server, which has the last word. */
import { queryOptions } from '@tanstack/react-query';
import { api, unwrap } from '../api/client';
import { queries } from '../api/queries';
import type { Role, Scope } from '../api/types';

export const usersQuery = queryOptions({
  queryKey: ['users'],
  queryFn: ({ signal }) => unwrap(api.GET('/api/users', { signal })),
});

export const tokensQuery = queryOptions({
  queryKey: ['tokens'],
  queryFn: ({ signal }) => unwrap(api.GET('/api/tokens', { signal })),
});

const path = (id: number) => ({ path: { id } });

/** Shows the list as the server has it now. */
const again = (query: { queryKey: readonly unknown[] }) =>
  queries.invalidateQueries({ queryKey: query.queryKey });

export async function addUser(body: { name: string; password: string; role: Role }) {
  const user = await unwrap(api.POST('/api/users', { body }));
  await again(usersQuery);
  return user;
}

export async function setRole(id: number, role: Role) {
  await unwrap(api.PATCH('/api/users/{id}', { params: path(id), body: { role } }));
  await again(usersQuery);
}

/** Gives someone a password. One's own needs the old one. */
export const setPassword = (id: number, password: string, oldPassword?: string) =>
  unwrap(
    api.PATCH('/api/users/{id}', {
      params: path(id),
      body: oldPassword === undefined ? { password } : { password, oldPassword },
    }),
  );

export async function removeUser(id: number) {
  await unwrap(api.DELETE('/api/users/{id}', { params: path(id) }));
  await again(usersQuery);
}

/** Lets a machine in; the answer is the only one with the secret. */
export async function addToken(body: { name: string; scopes: Scope[]; expiresAt: string | null }) {
  const added = await unwrap(api.POST('/api/tokens', { body }));
  await again(tokensQuery);
  return added;
}

export async function removeToken(id: number) {
  await unwrap(api.DELETE('/api/tokens/{id}', { params: path(id) }));
  await again(tokensQuery);
}
