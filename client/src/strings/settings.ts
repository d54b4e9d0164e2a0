/** Sign-in, first run, and settings. */
export const settings = {
  title: 'Settings',
  theme: { label: 'Theme', system: 'System', light: 'Light', dark: 'Dark' },
} as const;
