/** What its user writes about a call; it saves itself, and says whether it has. */
import { useEffect, useId, useState } from 'react';
import { useStore } from 'zustand';
import { messageOf } from '../api/client';
import { t } from '../strings';
import { Button } from '../ui/controls';
import controls from '../ui/controls.module.css';
import type { SaveState } from './autosave';
import css from './Details.module.css';
import { notesOf } from './notes';

/** In characters; the server counts 64 KiB, and says so when that is less. */
const NOTES_MAX = 65_536;

export function Notes({ sid, notes }: { sid: string; notes: string }) {
  return (
    <section className={css.section}>
      <h2>{t.calls.notes.label}</h2>
      <NotesField sid={sid} notes={notes} />
    </section>
  );
}

export function NotesField({ sid, notes }: { sid: string; notes: string }) {
  const [draft] = useState(() => notesOf(sid, notes));
  const { text, state } = useStore(draft.store);
  const id = useId();
  useEffect(() => draft.adopt(notes), [draft, notes]);
  // What one has just typed goes with one.
  useEffect(() => () => draft.flush(), [draft]);
  return (
    <>
      <textarea
        className={controls.input}
        rows={5}
        maxLength={NOTES_MAX}
        aria-label={t.calls.notes.label}
        aria-describedby={id}
        value={text}
        onChange={(event) => draft.edit(event.target.value)}
        onBlur={() => draft.flush()}
      />
      <p
        id={id}
        className={css.state}
        role="status"
        data-failed={state.type === 'failed' || undefined}
      >
        {text === '' && state.type === 'saved' ? null : wordsOf(state)}
        {state.type === 'failed' && <Button onClick={() => draft.flush()}>{t.ui.retry}</Button>}
      </p>
    </>
  );
}

function wordsOf(state: SaveState): string {
  const strings = t.calls.notes;
  switch (state.type) {
    case 'saved':
      return strings.saved;
    case 'changed':
      return strings.changed;
    case 'saving':
      return strings.saving;
    case 'failed':
      return strings.failed(messageOf(state.error));
    default:
      return state satisfies never;
  }
}
