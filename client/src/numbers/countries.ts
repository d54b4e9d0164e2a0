/** The countries of telephone numbers. */
import type { CountryCode } from 'libphonenumber-js/min';
import type { Library } from './format';

export interface Country {
  code: CountryCode;
  /** In the browser's language. */
  name: string;
  /** `1`, `44`. */
  callingCode: string;
}

/** All countries, sorted by name. */
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

/** The country of a language tag such as `en-GB`; without one, the most likely country. */
export function countryOf(language: string): string {
  try {
    return new Intl.Locale(language).maximize().region ?? 'US';
  } catch {
    return 'US';
  }
}

/** The numbering plans cover some 245 countries; in others every number is invalid. */
const isCountryCode = (code: string): code is CountryCode => /^[A-Z]{2}$/.test(code);

/** A valid country code for any input. */
export const countryCode = (code: string): CountryCode => (isCountryCode(code) ? code : 'US');
