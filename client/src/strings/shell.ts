/** Around the screens, and when something fails. */
export const shell = {
  product: 'CallBurner',
  nav: {
    label: 'Main',
    phone: 'Phone',
    calls: 'Calls',
    settings: 'Settings',
    skip: 'Skip to content',
  },
  ui: {
    cancel: 'Cancel',
    close: 'Close',
    loading: 'Loading…',
    notices: 'Notices',
    retry: 'Try again',
  },
  keys: {
    title: 'Keyboard shortcuts',
    here: 'On this screen',
    everywhere: 'Everywhere',
    show: 'Show keyboard shortcuts',
    go: (place: string) => `Go to ${place}`,
    pressThen: 'then',
    off: 'Single-key shortcuts are off. Turn them on in Settings.',
  },
  errors: {
    unreachable:
      'The server does not answer. Check that you are online and that callburner is running, then try again.',
    unexpected: (status: number) =>
      `The server answered with an error (${status}) that it did not explain. Try again, or look into its log.`,
    inThePage: 'Something in this page went wrong. Reload it; calls that go on are kept.',
    noSuchPage: 'There is no such page.',
    noSuchPageHint: 'The link may be old, or mistyped.',
    toPhone: 'Go to the phone',
  },
} as const;
