/** Holds the number being typed: it stays while other screens are shown, and links fill it in. */
import { useQuery } from '@tanstack/react-query';
import type { CountryCode } from 'libphonenumber-js/min';
import { createStore, useStore } from 'zustand';
import { settingsQuery } from '../api/queries';
import { asTyped } from '../numbers/check';
import { countryCode, countryOf } from '../numbers/countries';
import { dialled } from '../numbers/dialled';
import { loadNumbers } from '../numbers/format';

interface Draft {
  text: string;
  /** The country of numbers without a country code; null selects the default. */
  country: string | null;
}

/** Longest text of the field, in characters. */
export const TEXT_LENGTH_MAX = 40;

const store = createStore<Draft>(() => ({ text: '', country: null }));

export const setText = (text: string) => store.setState({ text: text.slice(0, TEXT_LENGTH_MAX) });

/** Fills in a number of any form; it is formatted once the number library has loaded. */
export function fill(text: string, country: CountryCode) {
  const digits = dialled(text);
  setText(digits);
  loadNumbers().then(
    (library) => {
      if (store.getState().text === digits) setText(asTyped(library, digits, country));
    },
    () => undefined,
  );
}

export const setCountry = (country: string) => store.setState({ country });
export const useText = () => useStore(store, ({ text }) => text);

/** Returns the chosen country, else the server's default, else that of the browser's language. */
export function useCountry(): CountryCode {
  const usual = useQuery(settingsQuery).data?.defaultCountry;
  const chosen = useStore(store, ({ country }) => country);
  return countryCode(chosen ?? usual ?? countryOf(navigator.language));
}
