/** Shows the twelve keys of a telephone. */
import { useRef } from 'react';
import { t } from '../strings';
import css from './Keypad.module.css';

const LETTERS = ['', 'ABC', 'DEF', 'GHI', 'JKL', 'MNO', 'PQRS', 'TUV', 'WXYZ'];

const KEYS: readonly { key: string; letters: string }[] = [
  ...LETTERS.map((letters, n) => ({ key: String(n + 1), letters })),
  { key: '*', letters: '' },
  { key: '0', letters: '' },
  { key: '#', letters: '' },
];

/** A key that is held this long types its second character. */
const LONG_PRESS_MS = 500;

export function Keypad({
  onKey,
  onPlus,
}: {
  onKey: (key: string) => void;
  /** Called when the 0 key was held; without it there is no `+`. */
  onPlus?: () => void;
}) {
  return (
    <fieldset className={css.keypad} aria-label={t.phone.dial.keypad}>
      {KEYS.map(({ key, letters }) =>
        key === '0' && onPlus ? (
          <ZeroKey key={key} onKey={onKey} onPlus={onPlus} />
        ) : (
          <button
            key={key}
            type="button"
            className={css.key}
            aria-label={nameOf(key, letters)}
            onClick={() => onKey(key)}
          >
            <Face digit={key} letters={letters} />
          </button>
        ),
      )}
    </fieldset>
  );
}

/** Types a 0, or a `+` after a long press. */
function ZeroKey({ onKey, onPlus }: { onKey: (key: string) => void; onPlus: () => void }) {
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const wasLong = useRef(false);
  const release = () => clearTimeout(timer.current);
  return (
    <button
      type="button"
      className={css.key}
      aria-label={t.phone.dial.key('0', '')}
      title={t.phone.dial.plus}
      onPointerDown={() => {
        wasLong.current = false;
        timer.current = setTimeout(() => {
          wasLong.current = true;
          onPlus();
        }, LONG_PRESS_MS);
      }}
      onPointerUp={release}
      onPointerLeave={release}
      onPointerCancel={release}
      // A touch screen would show its menu instead.
      onContextMenu={(event) => event.preventDefault()}
      onClick={() => {
        if (!wasLong.current) onKey('0');
        wasLong.current = false;
      }}
    >
      <Face digit="0" letters="+" />
    </button>
  );
}

const Face = ({ digit, letters }: { digit: string; letters: string }) => (
  <>
    <span className={css.digit}>{digit === '*' ? '∗' : digit}</span>
    <span className={css.letters}>{letters}</span>
  </>
);

/** Returns the accessible name of a key. */
function nameOf(key: string, letters: string): string {
  const { star, hash } = t.phone.dial.keys;
  return t.phone.dial.key(key === '*' ? star : key === '#' ? hash : key, letters);
}
