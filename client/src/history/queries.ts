/** The queries of the call list. */
import { infiniteQueryOptions, queryOptions } from '@tanstack/react-query';
import { api, unwrap } from '../api/client';
import { type Filters, toQuery } from './filters';

/** The page size: more calls than fill a screen. */
const PAGE_CALLS = 50;

/** The maximum number of pages; older calls are found by the search. */
export const PAGES_MAX = 40;

/** The interval at which the calls in progress are fetched. */
const ONGOING_EVERY_MS = 4_000;

/** The maximum number of calls shown as in progress. */
const ONGOING_MAX = 20;

/** The list, in pages, the latest call first. */
export const listQuery = (filters: Filters) =>
  infiniteQueryOptions({
    queryKey: ['calls', filters],
    queryFn: ({ pageParam, signal }) =>
      unwrap(
        api.GET('/api/calls', {
          params: {
            query: {
              ...toQuery(filters),
              ...(pageParam && { cursor: pageParam }),
              limit: PAGE_CALLS,
            },
          },
          signal,
        }),
      ),
    initialPageParam: '',
    getNextPageParam: (last, pages) => (pages.length < PAGES_MAX ? (last.next ?? null) : null),
  });

/** The calls in progress, fetched repeatedly while the tab is visible. */
export const ongoingQuery = queryOptions({
  queryKey: ['ongoing'],
  queryFn: async ({ signal }) => {
    const ask = (status: 'in-progress' | 'ringing') =>
      unwrap(api.GET('/api/calls', { params: { query: { status, limit: ONGOING_MAX } }, signal }));
    const pages = await Promise.all([ask('in-progress'), ask('ringing')]);
    return pages.flatMap((page) => page.calls);
  },
  refetchInterval: ONGOING_EVERY_MS,
});
