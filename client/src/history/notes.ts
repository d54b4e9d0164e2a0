/** Notes that are being written, of whichever call, until the server has them. */
import { queries, sessionQuery } from '../api/queries';
import { Autosave } from './autosave';
import { editCall } from './queries';

/** More calls' notes than these are not kept waiting for a server: the oldest saved go first. */
const KEPT_MAX = 50;

const drafts = new Map<string, Autosave>();

/** Who wrote them. */
let writer: number | undefined;

/** Somebody else uses the page now: nothing of the last user's stays. */
function forgetOthers() {
  const user = queries.getQueryData(sessionQuery.queryKey)?.user?.id;
  if (user !== writer) drafts.clear();
  writer = user;
}

/** The notes of a call: those that are being written here, or else what the server has. */
export function notesOf(sid: string, text: string): Autosave {
  forgetOthers();
  const known = drafts.get(sid);
  if (known) return known;
  for (const [old, draft] of drafts)
    if (drafts.size >= KEPT_MAX && draft.isSaved) drafts.delete(old);
  if (drafts.size === 0) watch();
  const draft = new Autosave(text, (notes) => editCall(sid, { notes }));
  drafts.set(sid, draft);
  return draft;
}

/** A call that is gone has no notes. */
export const forgetNotes = (sid: string) => drafts.delete(sid);

/** Tries again when the network is back, and asks whoever closes the page before all is saved. */
function watch() {
  window.addEventListener('online', flush);
  window.addEventListener('beforeunload', onLeave);
}

function onLeave(event: BeforeUnloadEvent) {
  if (flush()) event.preventDefault();
}

/** Saves what is not saved, and says whether there was anything. */
function flush(): boolean {
  forgetOthers();
  const unsaved = [...drafts.values()].filter((draft) => !draft.isSaved);
  for (const draft of unsaved) draft.flush();
  return unsaved.length > 0;
}
