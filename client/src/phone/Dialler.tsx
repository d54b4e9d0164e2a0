/** Lets the user type, paste or press a number, and call it. */
import { type SubmitEvent, useRef } from 'react';
import type { Checked } from '../numbers/check';
import type { Country } from '../numbers/countries';
import { t } from '../strings';
import { Button, HiddenText, IconButton } from '../ui/controls';
import css from './Dialler.module.css';
import { setCountry } from './draft';
import { Keypad } from './Keypad';
import { playKey } from './sounds';
import {
  type NumberField,
  useNumberField,
  usePastingAnywhere,
  useTypingAnywhere,
} from './useNumberField';

/** The element that describes the number to screen readers. */
const DESCRIPTION_ID = 'dialler-about';

export function Dialler({
  onCall,
}: {
  /** Undefined while no call can be made. */
  onCall: ((e164: string) => void) | undefined;
}) {
  const field = useNumberField();
  const { text, country, countryList, checked, callable } = field;
  usePastingAnywhere(country);
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    if (!callable || !onCall) return;
    field.clear();
    onCall(callable);
  };
  const press = (key: string) => {
    playKey(key);
    field.type(text + key, true);
  };
  return (
    <form className={css.dialler} onSubmit={submit}>
      <NumberInput field={field} />
      <CountrySelect list={countryList} value={country} />
      <p id={DESCRIPTION_ID} className={css.about} role="status" data-tone={toneOf(checked)}>
        {checked && descriptionOf(checked, countryList)}
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

/** Shows the number, which can be typed from anywhere on the page. */
function NumberInput({ field }: { field: NumberField }) {
  const { text, checked, type, paste, eraseLast, clear } = field;
  const input = useRef<HTMLInputElement>(null);
  useTypingAnywhere(input);
  return (
    <div className={css.display}>
      <input
        ref={input}
        className={css.number}
        value={text}
        aria-label={t.phone.dial.number}
        aria-describedby={DESCRIPTION_ID}
        aria-invalid={checked && isWrong(checked) ? true : undefined}
        placeholder={t.phone.dial.placeholder}
        inputMode="tel"
        autoComplete="off"
        spellCheck={false}
        onChange={({ target }) => type(target.value, target.selectionEnd === target.value.length)}
        onPaste={paste}
        onKeyDown={(event) => {
          if (event.key === 'Escape') clear();
        }}
      />
      {text && (
        <IconButton
          icon="backspace"
          label={t.phone.dial.erase}
          className={css.erase}
          onClick={eraseLast}
        />
      )}
    </div>
  );
}

/** Selects the country of numbers without a country code. */
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

/** Tells whether the number stays wrong whatever follows: a short one may be unfinished. */
const isWrong = ({ kind }: Checked) =>
  kind !== 'empty' && kind !== 'callable' && kind !== 'too-short';

const toneOf = (checked: Checked | undefined) =>
  checked?.kind === 'emergency' ? 'danger' : checked && isWrong(checked) ? 'warn' : 'plain';

/** Describes the number: where it calls, or what is wrong with it. */
function descriptionOf(checked: Checked, list: readonly Country[]): string {
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
