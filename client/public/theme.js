// Runs before the first paint, so that a dark page never flashes white. The rest is in src/theme.
(() => {
  try {
    const { theme } = JSON.parse(localStorage.getItem('callburner.preferences'));
    if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
  } catch {
    // No choice, or no storage: the theme of the system.
  }
})();
