/** The history as the page asks for it, and what it changes there. */
import { infiniteQueryOptions, queryOptions } from '@tanstack/react-query';
import { api, unwrap } from '../api/client';
import { callQuery, queries } from '../api/queries';
import type { CallDetail, CallEdit, CallRecord } from '../api/types';
import { type Filters, toQuery } from './filters';

/** Calls that come at once: more than fill a screen. */
const PAGE_CALLS = 50;

/** One list goes no further back: the search finds older calls. */
export const PAGES_MAX = 40;

/** What goes on is looked at again this often. */
const NOW_EVERY_MS = 4_000;

/** Calls that go on and are shown as such. */
const NOW_MAX = 20;

/** The list, page by page, the latest call first. */
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

/** The calls that go on; asked for again while the page is in sight. */
export const ongoingQuery = queryOptions({
  queryKey: ['ongoing'],
  queryFn: async ({ signal }) => {
    const ask = (status: 'in-progress' | 'ringing') =>
      unwrap(api.GET('/api/calls', { params: { query: { status, limit: NOW_MAX } }, signal }));
    const pages = await Promise.all([ask('in-progress'), ask('ringing')]);
    return pages.flatMap((page) => page.calls);
  },
  refetchInterval: NOW_EVERY_MS,
});

/** The history is another now: every list of it is asked for again when it is shown. */
export const refreshLists = () => queries.invalidateQueries({ queryKey: ['calls'] });

/** Changes a call's notes or labels; what the server then has is shown. */
export async function editCall(sid: string, edit: CallEdit): Promise<CallRecord> {
  const record = await unwrap(
    api.PATCH('/api/calls/{sid}', { params: { path: { sid } }, body: edit, keepalive: true }),
  );
  queries.setQueryData<CallDetail>(
    callQuery(sid).queryKey,
    (call) => call && { ...call, ...record },
  );
  void refreshLists();
  return record;
}

/** Deletes a call for good, and forgets it here. */
export async function deleteCall(sid: string) {
  await unwrap(api.DELETE('/api/calls/{sid}', { params: { path: { sid } } }));
  queries.removeQueries({ queryKey: callQuery(sid).queryKey });
  await refreshLists();
}
