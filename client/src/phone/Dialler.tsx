/** Where a number is typed, pasted or pressed, and called. */
import { type SubmitEvent, useEffect, useMemo, useRef } from 'react';
import { asTyped, type Checked, check } from '../numbers/check';
import { type Country, countries } from '../numbers/countries';
import { looksDialled } from '../numbers/dialled';
import { useNumbers } from '../numbers/format';
import { readPreference } from '../settings/preferences';
import { t } from '../strings';
import { Button, HiddenText, IconButton } from '../ui/controls';
import css from './Dialler.module.css';
import { fill, setCountry, setText, useCountry, useText } from './draft';
import { Keypad } from './Keypad';
import { playKey } from './sounds';

export function Dialler({
  onCall,
}: {
  /** None: nobody can be called now. */
  onCall: ((e164: string) => void) | undefined;
}) {
  const text = useText();
  const country = useCountry();
  const library = useNumbers();
  const list = useMemo(() => (library ? countries(library) : []), [library]);
  const checked = library?.isSupportedCountry(country) ? check(library, text, country) : undefined;
  const field = useRef<HTMLInputElement>(null);
  useTypingAnywhere(field);
  usePastingAnywhere(country);
  const callable = checked?.kind === 'callable' ? checked.e164 : undefined;
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    if (!callable || !onCall) return;
    setText('');
    onCall(callable);
  };
  const type = (typed: string, atEnd: boolean) =>
    // In the middle it stays as it is: the caret would jump.
    setText(
      library && atEnd && typed.length > text.length ? asTyped(library, typed, country) : typed,
    );
  const press = (key: string) => {
    playKey(key);
    type(text + key, true);
  };
  return (
    <form className={css.dialler} onSubmit={submit}>
      <div className={css.display}>
        <input
          ref={field}
          className={css.number}
          value={text}
          aria-label={t.phone.dial.number}
          aria-describedby="dialler-about"
          aria-invalid={checked && isWrong(checked) ? true : undefined}
          placeholder={t.phone.dial.placeholder}
          inputMode="tel"
          autoComplete="off"
          spellCheck={false}
          onChange={({ target }) => type(target.value, target.selectionEnd === target.value.length)}
          onPaste={(event) => {
            const pasted = event.clipboardData.getData('text');
            if (!looksDialled(pasted)) return;
            event.preventDefault();
            fill(pasted, country);
          }}
          onKeyDown={(event) => {
            if (event.key === 'Escape') setText('');
          }}
        />
        {text && (
          <IconButton
            icon="backspace"
            label={t.phone.dial.erase}
            className={css.erase}
            onClick={() => setText(erased(text))}
          />
        )}
      </div>
      <CountrySelect list={list} value={country} />
      <p id="dialler-about" className={css.about} role="status" data-tone={toneOf(checked)}>
        {checked && about(checked, list)}
      </p>
      <Keypad onKey={press} onPlus={() => press('+')} />
      <Button
        look="primary"
        size="large"
        icon="phone"
        type="submit"
        disabled={!callable || !onCall}
      >
        {t.phone.dial.call}
        {callable && <HiddenText> {callable}</HiddenText>}
      </Button>
    </form>
  );
}

function CountrySelect({ list, value }: { list: readonly Country[]; value: string }) {
  return (
    <select
      className={css.country}
      aria-label={t.phone.dial.country}
      value={value}
      disabled={list.length === 0}
      onChange={({ target }) => setCountry(target.value)}
    >
      {list.map(({ code, name, callingCode }) => (
        <option key={code} value={code}>
          {t.phone.dial.option(name, callingCode)}
        </option>
      ))}
    </select>
  );
}

/** Without its last digit, and whatever stood behind that. */
const erased = (text: string) => text.replace(/[\d*#+][^\d*#+]*$/, '').replace(/[\s(.-]+$/, '');

/** What is wrong whatever is typed next; a number that is too short may just not be finished. */
const isWrong = ({ kind }: Checked) =>
  kind !== 'empty' && kind !== 'callable' && kind !== 'too-short';

const toneOf = (checked: Checked | undefined) =>
  checked?.kind === 'emergency' ? 'danger' : checked && isWrong(checked) ? 'warn' : 'plain';

function about(checked: Checked, list: readonly Country[]): string {
  const { problem, calls } = t.phone.dial;
  const nameOf = (code: string | undefined) => list.find((one) => one.code === code)?.name;
  switch (checked.kind) {
    case 'empty':
    case 'too-short':
      return '';
    case 'callable':
      return calls(checked.e164, nameOf(checked.country));
    case 'unused':
      return problem.unused(nameOf(checked.country) ?? checked.country);
    case 'emergency':
      return problem.emergency(checked.digits);
    default:
      return problem[checked.kind];
  }
}

/** Whether something else on the page takes what is typed. */
const takesText = (target: EventTarget | null) =>
  target instanceof Element &&
  target.closest('input, textarea, select, [contenteditable], [role="alertdialog"]') !== null;

const isBehindDialog = () => document.querySelector('dialog[open]') !== null;

/** Digits dial, wherever the focus is: it goes to the field. */
function useTypingAnywhere(field: { current: HTMLInputElement | null }) {
  useEffect(() => {
    const hear = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
      if (!readPreference('shortcuts') || takesText(event.target) || isBehindDialog()) return;
      if (!/^[\d*#+]$/.test(event.key) && event.key !== 'Backspace') return;
      // The field gets this very key.
      field.current?.focus();
      const end = field.current?.value.length ?? 0;
      field.current?.setSelectionRange(end, end);
    };
    window.addEventListener('keydown', hear);
    return () => window.removeEventListener('keydown', hear);
  }, [field]);
}

/** A number that is pasted beside the field goes into it. */
function usePastingAnywhere(country: Country['code']) {
  useEffect(() => {
    const hear = (event: ClipboardEvent) => {
      const pasted = event.clipboardData?.getData('text') ?? '';
      if (takesText(event.target) || isBehindDialog() || !looksDialled(pasted)) return;
      event.preventDefault();
      fill(pasted, country);
    };
    window.addEventListener('paste', hear);
    return () => window.removeEventListener('paste', hear);
  }, [country]);
}
