/** The notes on a live call, the same as on the page of the stored call. */
import { useState } from 'react';
import { useCallRecord } from '../callRecord/useCallRecord';
import { Notes, NotesField } from '../notes/Notes';
import { t } from '../strings';
import details from '../ui/details.module.css';

/** On smaller screens the notes are collapsed, to leave room for the transcript. */
const WIDE = '(min-width: 641px)';

export function CallNotes({ callSid }: { callSid: string }) {
  const { data: record } = useCallRecord(callSid);
  const [isWide] = useState(() => window.matchMedia(WIDE).matches);
  if (!record) return null;
  const { sid, notes } = record;
  if (isWide) return <Notes key={sid} sid={sid} notes={notes} />;
  return (
    <details className={details.section}>
      <summary>
        <h2>{t.calls.notes.label}</h2>
      </summary>
      <NotesField key={sid} sid={sid} notes={notes} />
    </details>
  );
}
