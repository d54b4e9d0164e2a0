/**
 * What was chosen in this browser, and stays in it. `public/theme.js` reads the theme out of the
 * same place before the first paint.
 */
import { createStore, useStore } from 'zustand';
import { KEYWORDS_MAX, type Preferences, parsePreferences } from './parse';

const KEY = 'callburner.preferences';

function load(): Preferences {
  try {
    return parsePreferences(JSON.parse(localStorage.getItem(KEY) ?? '{}'));
  } catch {
    // Damaged, or a browser that keeps nothing.
    return parsePreferences({});
  }
}

const store = createStore<Preferences>(load);

/** All of them as they are now, outside of React. */
export const readPreferences = (): Preferences => store.getState();

/** A preference, outside of React. */
export const readPreference = <K extends keyof Preferences>(name: K): Preferences[K] =>
  store.getState()[name];

/** A preference, and the component shows its changes. */
export const usePreference = <K extends keyof Preferences>(name: K): Preferences[K] =>
  useStore(store, (preferences) => preferences[name]);

/** Chooses, for this page at once and for later where the browser remembers. */
export function setPreference<K extends keyof Preferences>(name: K, value: Preferences[K]) {
  // Read anew: another tab may have chosen something else meanwhile.
  const chosen = parsePreferences({ ...load(), [name]: value });
  try {
    localStorage.setItem(KEY, JSON.stringify(chosen));
    store.setState(chosen);
  } catch {
    store.setState({ [name]: chosen[name] });
  }
}

/** Calls back with each change, from here or another tab, until the returned function is called. */
export function watchPreferences(onChange: (preferences: Preferences) => void): () => void {
  const hear = ({ key }: StorageEvent) => {
    if (key === KEY || key === null) store.setState(load());
  };
  window.addEventListener('storage', hear);
  const stop = store.subscribe(onChange);
  return () => {
    window.removeEventListener('storage', hear);
    stop();
  };
}

export { KEYWORDS_MAX, type Preferences };
