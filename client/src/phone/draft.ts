/** The number that is being typed: kept while one looks elsewhere, and filled in by links. */
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
  /** What numbers without a country code are meant in; null: whatever is usual here. */
  country: string | null;
}

/** Characters of the field. */
export const TEXT_LENGTH_MAX = 40;

const store = createStore<Draft>(() => ({ text: '', country: null }));

export const setText = (text: string) => store.setState({ text: text.slice(0, TEXT_LENGTH_MAX) });

/** Fills in a number of any form: as it is dialled, and as people write it once that is known. */
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

/** The chosen country; else the server's own, or that of the browser's language. */
export function useCountry(): CountryCode {
  const usual = useQuery(settingsQuery).data?.defaultCountry;
  const chosen = useStore(store, ({ country }) => country);
  return countryCode(chosen ?? usual ?? countryOf(navigator.language));
}
