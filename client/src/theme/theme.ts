/** Light, dark, or as the system has it. `public/theme.js` sets it before the first paint. */

export type Theme = 'system' | 'light' | 'dark';

const KEY = 'callburner.theme';

/** What was chosen in this browser. */
export function chosenTheme(): Theme {
  const theme = document.documentElement.dataset.theme;
  return theme === 'light' || theme === 'dark' ? theme : 'system';
}

/** Shows the theme, and remembers it where the browser does. */
export function chooseTheme(theme: Theme) {
  if (theme === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try {
    if (theme === 'system') localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, theme);
  } catch {
    // Not remembered: a browser that keeps nothing.
  }
}
