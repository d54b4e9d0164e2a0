/** What one writes about a call while it goes on: the notes of its page. */
import { useState } from 'react';
import details from '../history/Details.module.css';
import { Notes, NotesField } from '../history/Notes';
import { t } from '../strings';
import { useCallRecord } from './useCallRecord';

/** Elsewhere the words need the room: notes are folded until one writes. */
const ROOMY = '(min-width: 641px)';

export function CallNotes({ callSid }: { callSid: string }) {
  const { data: record } = useCallRecord(callSid);
  const [isRoomy] = useState(() => window.matchMedia(ROOMY).matches);
  if (!record) return null;
  const { sid, notes } = record;
  if (isRoomy) return <Notes key={sid} sid={sid} notes={notes} />;
  return (
    <details className={details.section}>
      <summary>
        <h2>{t.calls.notes.label}</h2>
      </summary>
      <NotesField key={sid} sid={sid} notes={notes} />
    </details>
  );
}
