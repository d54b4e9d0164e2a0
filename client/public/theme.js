// Runs before the first paint, so that a dark page never flashes white. The rest is in src/theme.
(() => {
  try {
    const { theme } = JSON.parse(localStorage.getItem('callburner.preferences'));
    if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
  } catch {
    // Nothing chosen, or a browser that keeps nothing: the system's theme.
  }
})();
