/** Extracts the digits to dial from typed, pasted or linked text. Pure. */

/** Longer text is cut to this length. */
const TEXT_LENGTH_MAX = 200;

/** The scheme of `tel:` and `web+tel:` links, also with slashes. */
const SCHEME = /^\s*(?:web\+)?tel:(?:\/\/)?/i;

/** An extension, or the parameters of a `tel:` link, which are not dialled. */
const EXTENSION = /(?:;.*|\s*(?:ext\.?|extension|x)\s*\d{1,7}\s*)$/i;

/** A vanity number such as `1-800-FLOWERS`: letters after some digits stand for digits. */
const VANITY = /^\+?[\d\s().\-/]*\d[\d\s().\-/]*[a-z]/i;

const KEYPAD = ['', '', 'abc', 'def', 'ghi', 'jkl', 'mno', 'pqrs', 'tuv', 'wxyz'];

/** The digits, `*` and `#` of a text, with a leading `+` if it has one; may be empty. */
export function dialled(text: string): string {
  const plain = asciiDigits(unlinked(text.slice(0, TEXT_LENGTH_MAX)).normalize('NFKC'))
    // Invisible formatting characters of copied text.
    .replace(/\p{Cf}/gu, '')
    .replace(EXTENSION, '');
  const spelled = VANITY.test(plain) ? plain.replace(/[a-z]/gi, keyOf) : plain;
  const digits = spelled.replace(/[^\d*#]/g, '');
  const hasPlus = /^[^\d*#]*\+/.test(spelled);
  return hasPlus ? `+${digits}` : digits;
}

/** Whether a whole text is a number, so that pasting it anywhere fills the field. */
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

/** Converts digits of other scripts, which Unicode encodes in runs of ten. */
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
