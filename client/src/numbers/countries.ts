/** The countries that a number may be meant in. */
import type { CountryCode } from 'libphonenumber-js/min';
import type { Library } from './format';

export interface Country {
  code: CountryCode;
  /** In the browser's language. */
  name: string;
  /** `1`, `44`. */
  callingCode: string;
}

/** All of them, by name. */
export function countries(library: Library): readonly Country[] {
  const names = new Intl.DisplayNames(undefined, { type: 'region' });
  return library
    .getCountries()
    .map((code) => ({
      code,
      name: names.of(code) ?? code,
      callingCode: library.getCountryCallingCode(code),
    }))
    .sort((a, b) => a.name.localeCompare(b.name));
}

/** The country of a browser's language, as far as it says: `en-GB`, or the one where most speak it. */
export function countryOf(language: string): string {
  try {
    return new Intl.Locale(language).maximize().region ?? 'US';
  } catch {
    return 'US';
  }
}

/** The plans know some 245 of them; of another one they say that it has no numbers. */
const isCountryCode = (code: string): code is CountryCode => /^[A-Z]{2}$/.test(code);

/** One to begin with, whatever was asked for. */
export const countryCode = (code: string): CountryCode => (isCountryCode(code) ? code : 'US');
