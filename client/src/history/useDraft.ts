/** A text that is typed here and kept elsewhere: it is handed on when one pauses. */
import { useEffect, useRef, useState } from 'react';

/** A pause in typing. */
const PAUSE_MS = 300;

export function useDraft(value: string, onCommit: (value: string) => void) {
  const [draft, setDraft] = useState(value);
  const committed = useRef(value);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const commit = useRef(onCommit);
  commit.current = onCommit;
  useEffect(() => {
    // Changed elsewhere, by back and forward say: what was typed is out of date.
    if (value !== committed.current) setDraft(value);
    committed.current = value;
  }, [value]);
  useEffect(() => {
    if (draft === committed.current) return;
    timer.current = setTimeout(() => {
      committed.current = draft;
      commit.current(draft);
    }, PAUSE_MS);
    return () => clearTimeout(timer.current);
  }, [draft]);
  /** At once: Enter, or a button. */
  const set = (text: string) => {
    clearTimeout(timer.current);
    committed.current = text;
    setDraft(text);
    commit.current(text);
  };
  return { draft, setDraft, set };
}
