/** Edits and deletes stored calls on the server. */
import { api, unwrap } from '../api/client';
import { callQuery, queries } from '../api/queries';
import type { CallDetail, CallEdit, CallRecord } from '../api/types';

/** Marks every list of calls as stale, so that it is fetched again when it is shown. */
export const refreshLists = () => queries.invalidateQueries({ queryKey: ['calls'] });

/** Changes the notes or labels of a call, and shows what the server then has. */
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

/** Deletes a call permanently, on the server and in this page. */
export async function deleteCall(sid: string) {
  await unwrap(api.DELETE('/api/calls/{sid}', { params: { path: { sid } } }));
  queries.removeQueries({ queryKey: callQuery(sid).queryKey });
  await refreshLists();
}
