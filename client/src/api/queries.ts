/** What the page remembers of the server's answers, and when it asks again. */
import { QueryClient, queryOptions } from '@tanstack/react-query';
import { ApiError, api, unwrap } from './client';

/** Answers older than this are asked for again when someone looks. */
const STALE_AFTER_MS = 10_000;

/** Requests that failed without an answer are tried this many times more. */
const RETRIES_MAX = 2;

export const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: STALE_AFTER_MS,
      // The server may be this very machine: being offline is no reason not to ask it.
      networkMode: 'always',
      retry: (failures, error) =>
        failures < RETRIES_MAX && error instanceof ApiError && error.status === 0,
    },
    mutations: { networkMode: 'always' },
  },
});

/** Who uses this page. */
export const sessionQuery = queryOptions({
  queryKey: ['session'],
  queryFn: ({ signal }) => unwrap(api.GET('/api/session', { signal })),
  staleTime: Number.POSITIVE_INFINITY,
});

/** How the host set the server up. It changes with a restart only. */
export const settingsQuery = queryOptions({
  queryKey: ['settings'],
  queryFn: ({ signal }) => unwrap(api.GET('/api/settings', { signal })),
});

/** Whether a recorded call can be played here, and which one is. */
export const simulationQuery = queryOptions({
  queryKey: ['simulation'],
  queryFn: ({ signal }) => unwrap(api.GET('/api/simulation', { signal })),
});

/** How many of the last calls the phone shows. */
const RECENT_CALLS = 8;

/** The last calls, for the phone. */
export const recentCallsQuery = queryOptions({
  queryKey: ['calls', 'recent'],
  queryFn: ({ signal }) =>
    unwrap(api.GET('/api/calls', { params: { query: { limit: RECENT_CALLS } }, signal })),
});

/** A call with its words. */
export const callQuery = (sid: string) =>
  queryOptions({
    queryKey: ['call', sid],
    queryFn: ({ signal }) =>
      unwrap(api.GET('/api/calls/{sid}', { params: { path: { sid } }, signal })),
  });

/** The server says that nobody is signed in any more: the session is asked for again. */
export function noteSignedOut(error: unknown) {
  if (error instanceof ApiError && error.code === 'sign_in_required')
    void queries.invalidateQueries({ queryKey: sessionQuery.queryKey });
}
queries.getQueryCache().config.onError = noteSignedOut;
queries.getMutationCache().config.onError = noteSignedOut;
