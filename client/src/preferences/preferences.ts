/**
 * The preferences of this browser, kept in its local storage. `public/theme.js` reads the theme from
 * the same key before the first paint.
 */
import { createStore, useStore } from 'zustand';
import { KEYWORDS_MAX, type Preferences, parsePreferences } from './parse';

const KEY = 'callburner.preferences';

function load(): Preferences {
  try {
    return parsePreferences(JSON.parse(localStorage.getItem(KEY) ?? '{}'));
  } catch {
    // The value is damaged, or the browser has no storage.
    return parsePreferences({});
  }
}

const store = createStore<Preferences>(load);

/** The current preferences, outside of React. */
export const readPreferences = (): Preferences => store.getState();

/** One preference, outside of React. */
export const readPreference = <K extends keyof Preferences>(name: K): Preferences[K] =>
  store.getState()[name];

/** One preference; the component renders again when it changes. */
export const usePreference = <K extends keyof Preferences>(name: K): Preferences[K] =>
  useStore(store, (preferences) => preferences[name]);

/** Sets a preference, and stores it if the browser has storage. */
export function setPreference<K extends keyof Preferences>(name: K, value: Preferences[K]) {
  // Read again: another tab may have changed another preference.
  const chosen = parsePreferences({ ...load(), [name]: value });
  try {
    localStorage.setItem(KEY, JSON.stringify(chosen));
    store.setState(chosen);
  } catch {
    store.setState({ [name]: chosen[name] });
  }
}

/** Reports each change, from this tab or another one, until the returned function is called. */
export function watchPreferences(onChange: (preferences: Preferences) => void): () => void {
  const onStorage = ({ key }: StorageEvent) => {
    if (key === KEY || key === null) store.setState(load());
  };
  window.addEventListener('storage', onStorage);
  const stop = store.subscribe(onChange);
  return () => {
    window.removeEventListener('storage', onStorage);
    stop();
  };
}

export { KEYWORDS_MAX, type Preferences };
