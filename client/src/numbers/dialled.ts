/** What somebody typed, pasted or linked to, as a telephone dials it. Pure. */

/** Characters of a pasted text that are looked at. */
const TEXT_LENGTH_MAX = 200;

/** `tel:` links, our own of the web, and whatever slashes were put behind them. */
const SCHEME = /^\s*(?:web\+)?tel:(?:\/\/)?/i;

/** An extension, or the parameters of a `tel:` link: nothing that is dialled. */
const EXTENSION = /(?:;.*|\s*(?:ext\.?|extension|x)\s*\d{1,7}\s*)$/i;

/** Letters that stand for digits: only behind some digits, as in `1-800-FLOWERS`. */
const VANITY = /^\+?[\d\s().\-/]*\d[\d\s().\-/]*[a-z]/i;

const KEYPAD = ['', '', 'abc', 'def', 'ghi', 'jkl', 'mno', 'pqrs', 'tuv', 'wxyz'];

/** The digits of a text, with a `+` before them if it had one, and `*` and `#`; maybe nothing. */
export function dialled(text: string): string {
  const plain = asciiDigits(unlinked(text.slice(0, TEXT_LENGTH_MAX)).normalize('NFKC'))
    // Marks of direction and width that come along when one copies.
    .replace(/\p{Cf}/gu, '')
    .replace(EXTENSION, '');
  const spelled = VANITY.test(plain) ? plain.replace(/[a-z]/gi, keyOf) : plain;
  const digits = spelled.replace(/[^\d*#]/g, '');
  const hasPlus = /^[^\d*#]*\+/.test(spelled);
  return hasPlus ? `+${digits}` : digits;
}

/** Whether a text, as a whole, is meant as a number: what is pasted beside the field counts then. */
export function looksDialled(text: string): boolean {
  if (SCHEME.test(text)) return true;
  const rest = text
    .trim()
    .normalize('NFKC')
    .replace(/[\p{Nd}\s\p{Cf}+().\-–/*#]/gu, '');
  return dialled(text) !== '' && (rest === '' || VANITY.test(text.trim()));
}

function unlinked(text: string): string {
  if (!SCHEME.test(text)) return text;
  const number = text.replace(SCHEME, '');
  try {
    return decodeURIComponent(number);
  } catch {
    return number; // A stray `%`.
  }
}

/** Digits of other scripts lie in tens, each from its own zero. */
function asciiDigits(text: string): string {
  return text.replace(/\p{Nd}/gu, (digit) => {
    if (digit <= '9') return digit;
    let zero = digit.codePointAt(0) ?? 0;
    while (/\p{Nd}/u.test(String.fromCodePoint(zero - 1)) && (digit.codePointAt(0) ?? 0) - zero < 9)
      zero -= 1;
    return String((digit.codePointAt(0) ?? 0) - zero);
  });
}

const keyOf = (letter: string) =>
  String(KEYPAD.findIndex((letters) => letters.includes(letter.toLowerCase())));
