/** The unsaved notes of all calls, kept until the server has them. */
import { queries, sessionQuery } from '../api/queries';
import { editCall } from '../callRecord/edits';
import { Autosave } from './autosave';

/** The number of drafts from which the oldest saved ones are dropped. */
const DRAFTS_MAX = 50;

const drafts = new Map<string, Autosave>();

/** The id of the user who wrote them. */
let writer: number | undefined;

/** Drops the drafts of an earlier user. */
function forgetOthers() {
  const user = queries.getQueryData(sessionQuery.queryKey)?.user?.id;
  if (user !== writer) drafts.clear();
  writer = user;
}

/** The draft for a call; `text` is the text that the server has. */
export function draftFor(sid: string, text: string): Autosave {
  forgetOthers();
  const known = drafts.get(sid);
  if (known) return known;
  for (const [old, draft] of drafts)
    if (drafts.size >= DRAFTS_MAX && draft.isSaved) drafts.delete(old);
  if (drafts.size === 0) watchPage();
  const draft = new Autosave(text, (notes) => editCall(sid, { notes }));
  drafts.set(sid, draft);
  return draft;
}

/** Drops the draft of a deleted call. */
export const forgetNotes = (sid: string) => drafts.delete(sid);

/** Retries when the network is back, and warns before the page closes with unsaved notes. */
function watchPage() {
  window.addEventListener('online', flushAll);
  window.addEventListener('beforeunload', onBeforeUnload);
}

function onBeforeUnload(event: BeforeUnloadEvent) {
  if (flushAll()) event.preventDefault();
}

/** Saves all unsaved drafts; returns whether there were any. */
function flushAll(): boolean {
  forgetOthers();
  const unsaved = [...drafts.values()].filter((draft) => !draft.isSaved);
  for (const draft of unsaved) draft.flush();
  return unsaved.length > 0;
}
