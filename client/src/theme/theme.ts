/** Shows what was chosen of the page's look. `public/theme.js` did so before the first paint. */
import { type Preferences, readPreferences, watchPreferences } from '../settings/preferences';

/** Shows the chosen look, and every change of it. */
export function keepLook() {
  show(readPreferences());
  watchPreferences(show);
}

function show({ theme, textSize }: Preferences) {
  const { dataset } = document.documentElement;
  if (theme === 'system') delete dataset.theme;
  else dataset.theme = theme;
  dataset.textSize = textSize;
}
