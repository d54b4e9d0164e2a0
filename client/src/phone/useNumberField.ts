/** Provides the state and the actions of the dialler's number field. */
import { type ClipboardEvent, type RefObject, useEffect, useMemo } from 'react';
import { asTyped, type Checked, check } from '../numbers/check';
import { type Country, countries } from '../numbers/countries';
import { looksDialled } from '../numbers/dialled';
import { useNumbers } from '../numbers/format';
import { readPreference } from '../preferences/preferences';
import { fill, setText, useCountry, useText } from './draft';

export interface NumberField {
  text: string;
  country: Country['code'];
  /** Empty until the number library has loaded. */
  countryList: readonly Country[];
  /** Undefined until the number library has loaded. */
  checked: Checked | undefined;
  /** The number in E.164; undefined if it cannot be called. */
  callable: string | undefined;
  /** Sets the text; formats it if characters were added at its end. */
  type: (typed: string, isAtEnd: boolean) => void;
  paste: (event: ClipboardEvent) => void;
  eraseLast: () => void;
  clear: () => void;
}

export function useNumberField(): NumberField {
  const text = useText();
  const country = useCountry();
  const library = useNumbers();
  const countryList = useMemo(() => (library ? countries(library) : []), [library]);
  const checked = library?.isSupportedCountry(country) ? check(library, text, country) : undefined;
  return {
    text,
    country,
    countryList,
    checked,
    callable: checked?.kind === 'callable' ? checked.e164 : undefined,
    type: (typed, isAtEnd) => {
      // Formatting in the middle of the text would move the caret.
      const isAdded = isAtEnd && typed.length > text.length;
      setText(library && isAdded ? asTyped(library, typed, country) : typed);
    },
    paste: (event) => {
      const pasted = event.clipboardData.getData('text');
      if (!looksDialled(pasted)) return;
      event.preventDefault();
      fill(pasted, country);
    },
    eraseLast: () => setText(withoutLastDigit(text)),
    clear: () => setText(''),
  };
}

/** Removes the last digit, and the punctuation around it. */
const withoutLastDigit = (text: string) =>
  text.replace(/[\d*#+][^\d*#+]*$/, '').replace(/[\s(.-]+$/, '');

/** Tells whether another element on the page takes what is typed. */
const takesText = (target: EventTarget | null) =>
  target instanceof Element &&
  target.closest('input, textarea, select, [contenteditable], [role="alertdialog"]') !== null;

const isDialogOpen = () => document.querySelector('dialog[open]') !== null;

/** Moves the focus to the field when digits are typed anywhere on the page. */
export function useTypingAnywhere(field: RefObject<HTMLInputElement | null>) {
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
      if (!readPreference('shortcuts') || takesText(event.target) || isDialogOpen()) return;
      if (!/^[\d*#+]$/.test(event.key) && event.key !== 'Backspace') return;
      // The field then receives this key.
      field.current?.focus();
      const end = field.current?.value.length ?? 0;
      field.current?.setSelectionRange(end, end);
    };
    window.addEventListener('keydown', onKeyDown);
    return () => window.removeEventListener('keydown', onKeyDown);
  }, [field]);
}

/** Fills a number that is pasted outside of any field into the dialler. */
export function usePastingAnywhere(country: Country['code']) {
  useEffect(() => {
    const onPaste = (event: globalThis.ClipboardEvent) => {
      const pasted = event.clipboardData?.getData('text') ?? '';
      if (takesText(event.target) || isDialogOpen() || !looksDialled(pasted)) return;
      event.preventDefault();
      fill(pasted, country);
    };
    window.addEventListener('paste', onPaste);
    return () => window.removeEventListener('paste', onPaste);
  }, [country]);
}
