/** The query cache, and the queries that several folders share. */
import { QueryClient, queryOptions } from '@tanstack/react-query';
import { ApiError, api, unwrap } from './client';

/** Data older than this is fetched again when a component shows it. */
const STALE_AFTER_MS = 10_000;

/** How often a request without a response is retried. */
const RETRIES_MAX = 2;

export const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: STALE_AFTER_MS,
      // The server may run on this machine, so the browser being offline does not matter.
      networkMode: 'always',
      retry: (failures, error) =>
        failures < RETRIES_MAX && error instanceof ApiError && error.status === 0,
    },
    mutations: { networkMode: 'always' },
  },
});

/** The session of this browser. */
export const sessionQuery = queryOptions({
  queryKey: ['session'],
  queryFn: ({ signal }) => unwrap(api.GET('/api/session', { signal })),
  staleTime: Number.POSITIVE_INFINITY,
});

/** The settings of the server, which change only when it restarts. */
export const settingsQuery = queryOptions({
  queryKey: ['settings'],
  queryFn: ({ signal }) => unwrap(api.GET('/api/settings', { signal })),
});

/** Whether the server can play a recorded call, and the one that it plays now. */
export const simulationQuery = queryOptions({
  queryKey: ['simulation'],
  queryFn: ({ signal }) => unwrap(api.GET('/api/simulation', { signal })),
});

/** The number of recent calls on the phone screen. */
const RECENT_CALLS = 8;

/** The recent calls on the phone screen. */
export const recentCallsQuery = queryOptions({
  queryKey: ['calls', 'recent'],
  queryFn: ({ signal }) =>
    unwrap(api.GET('/api/calls', { params: { query: { limit: RECENT_CALLS } }, signal })),
});

/** A call with its transcript. */
export const callQuery = (sid: string) =>
  queryOptions({
    queryKey: ['call', sid],
    queryFn: ({ signal }) =>
      unwrap(api.GET('/api/calls/{sid}', { params: { path: { sid } }, signal })),
  });

/** Fetches the session again when an error says that nobody is signed in. */
export function noteSignedOut(error: unknown) {
  if (error instanceof ApiError && error.code === 'sign_in_required')
    void queries.invalidateQueries({ queryKey: sessionQuery.queryKey });
}
queries.getQueryCache().config.onError = noteSignedOut;
queries.getMutationCache().config.onError = noteSignedOut;
