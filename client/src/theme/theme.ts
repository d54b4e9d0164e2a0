/** Applies the theme and text size. `public/theme.js` does so once before the first paint. */
import { type Preferences, readPreferences, watchPreferences } from '../preferences/preferences';

/** Applies the preferences now and at every change. */
export function followThemePreference() {
  apply(readPreferences());
  watchPreferences(apply);
}

function apply({ theme, textSize }: Preferences) {
  const { dataset } = document.documentElement;
  if (theme === 'system') delete dataset.theme;
  else dataset.theme = theme;
  dataset.textSize = textSize;
}
