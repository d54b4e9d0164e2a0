/** Checks whether a typed number can be called. Pure: the numbering plans are an argument. */
import type { CountryCode } from 'libphonenumber-js/min';
import { dialled } from './dialled';
import { isEmergency } from './emergency';
import type { Library } from './format';

/** The result of the check. */
export type Checked =
  | { kind: 'empty' }
  | { kind: 'emergency'; digits: string }
  | { kind: 'too-short' }
  | { kind: 'too-long' }
  | { kind: 'unknown-country' }
  | { kind: 'not-a-number' }
  | { kind: 'unused'; country: CountryCode }
  | { kind: 'callable'; e164: string; country: CountryCode | undefined };

/** Numbers up to this length are not formatted. */
const SHORT_DIGITS_MAX = 3;

/** Checks a number as dialled in the country. The server checks it again. */
export function check(library: Library, text: string, country: CountryCode): Checked {
  const digits = dialled(text);
  if (digits === '' || digits === '+') return { kind: 'empty' };
  if (isEmergency(digits, country)) return { kind: 'emergency', digits };
  const number = library.parsePhoneNumberFromString(digits, country);
  if (number?.isValid()) return { kind: 'callable', e164: number.number, country: number.country };
  switch (library.validatePhoneNumberLength(digits, country)) {
    case 'TOO_SHORT':
    case 'INVALID_LENGTH':
      return { kind: 'too-short' };
    case 'TOO_LONG':
      return { kind: 'too-long' };
    case 'INVALID_COUNTRY':
      return { kind: digits.length < 4 ? 'too-short' : 'unknown-country' };
    case 'NOT_A_NUMBER':
      return { kind: digits.length < 4 ? 'too-short' : 'not-a-number' };
    case undefined:
      return { kind: 'unused', country: number?.country ?? country };
  }
}

/** Formats an incomplete number as it is written in the country. */
export function asTyped(library: Library, text: string, country: CountryCode): string {
  const digits = dialled(text);
  // Service codes with * and #, and short numbers, have no format.
  if (/[*#]/.test(digits) || digits.length <= SHORT_DIGITS_MAX) return digits;
  return new library.AsYouType(country).input(digits);
}
