/** The number that is being typed: kept while one looks elsewhere, and filled in by links. */
import { createStore, useStore } from 'zustand';
import { countryOf } from '../numbers/countries';

interface Draft {
  text: string;
  /** What numbers without a country code are meant in; null: whatever is usual here. */
  country: string | null;
}

/** Characters of the field. */
export const TEXT_LENGTH_MAX = 40;

const store = createStore<Draft>(() => ({ text: '', country: null }));

export const setText = (text: string) => store.setState({ text: text.slice(0, TEXT_LENGTH_MAX) });
export const setCountry = (country: string) => store.setState({ country });
export const useText = () => useStore(store, ({ text }) => text);

/** The chosen country, or that of the browser's language. */
export const useCountry = () =>
  useStore(store, ({ country }) => country) ?? countryOf(navigator.language);
