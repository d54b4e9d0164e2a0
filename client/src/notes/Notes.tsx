/** The notes on a call, saved automatically. */
import { useEffect, useId, useState } from 'react';
import { useStore } from 'zustand';
import { messageOf } from '../api/client';
import { t } from '../strings';
import { Button } from '../ui/controls';
import controls from '../ui/controls.module.css';
import details from '../ui/details.module.css';
import type { SaveState } from './autosave';
import { draftFor } from './drafts';
import css from './Notes.module.css';

/** The maximum length in characters. The server limits the notes to 64 KiB. */
const NOTES_CHARACTERS_MAX = 65_536;

export function Notes({ sid, notes }: { sid: string; notes: string }) {
  return (
    <section className={details.section}>
      <h2>{t.calls.notes.label}</h2>
      <NotesField sid={sid} notes={notes} />
    </section>
  );
}

export function NotesField({ sid, notes }: { sid: string; notes: string }) {
  const [draft] = useState(() => draftFor(sid, notes));
  const { text, state } = useStore(draft.store);
  const id = useId();
  useEffect(() => draft.adopt(notes), [draft, notes]);
  // Saves the rest when the user leaves the screen.
  useEffect(() => () => draft.flush(), [draft]);
  return (
    <>
      <textarea
        className={controls.input}
        rows={5}
        maxLength={NOTES_CHARACTERS_MAX}
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
        {text === '' && state.type === 'saved' ? null : textOf(state)}
        {state.type === 'failed' && <Button onClick={() => draft.flush()}>{t.ui.retry}</Button>}
      </p>
    </>
  );
}

function textOf(state: SaveState): string {
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
