// Runs before the first paint, so that a dark page never flashes white. The rest is in src/theme.
(() => {
  try {
    const theme = localStorage.getItem('callburner.theme');
    if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
  } catch {
    // A browser that keeps nothing: the system's theme.
  }
})();
