/** A text field whose value is reported after a pause in typing. */
import { useEffect, useRef, useState } from 'react';

/** A pause this long counts as the end of typing. */
const PAUSE_MS = 300;

export function useDebouncedText(value: string, onCommit: (value: string) => void) {
  const [text, setText] = useState(value);
  const committed = useRef(value);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const latestOnCommit = useRef(onCommit);
  latestOnCommit.current = onCommit;
  useEffect(() => {
    // The value changed elsewhere, for example by the back button: it replaces what was typed.
    if (value !== committed.current) setText(value);
    committed.current = value;
  }, [value]);
  useEffect(() => {
    if (text === committed.current) return;
    timer.current = setTimeout(() => {
      committed.current = text;
      latestOnCommit.current(text);
    }, PAUSE_MS);
    return () => clearTimeout(timer.current);
  }, [text]);
  /** Reports a text without waiting, for Enter and for buttons. */
  const commit = (text: string) => {
    clearTimeout(timer.current);
    committed.current = text;
    setText(text);
    latestOnCommit.current(text);
  };
  return { text, setText, commit };
}
