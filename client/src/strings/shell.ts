const KEY_NAMES: Readonly<Record<string, string>> = {
  ArrowLeft: '←',
  ArrowRight: '→',
  ArrowUp: '↑',
  ArrowDown: '↓',
  Escape: 'Esc',
  Mod: 'Ctrl',
};

/** Around the screens, and when something fails. */
export const shell = {
  product: 'CallBurner',
  nav: {
    label: 'Main',
    phone: 'Phone',
    calls: 'Calls',
    settings: 'Settings',
    skip: 'Skip to content',
    titled: (place: string) => `${place} · CallBurner`,
  },
  ui: {
    cancel: 'Cancel',
    close: 'Close',
    loading: 'Loading…',
    notices: 'Notices',
    retry: 'Try again',
  },
  session: {
    signIn: 'Sign in',
    signOut: 'Sign out',
    signedOut: 'You are signed out.',
    name: 'Name',
    password: 'Password',
    passwordHint: 'At least 8 characters. A few plain words make a good one.',
    oneMoment: 'One moment…',
    wrong: 'Name or password is wrong.',
    tooMany: (seconds: number) =>
      `Too many attempts. You can try again in ${seconds === 1 ? 'one second' : `${seconds} seconds`}.`,
    tryNow: 'You can try again now.',
    nobodyYet: 'Nobody can sign in yet',
    nobodyYetHint:
      'When it started, the server printed a link that makes the first user. Look where you started callburner, or in its log. No link, or older than 30 minutes?',
    byRestart: 'Restart the server: it prints another link.',
    byCommand: 'Or run, on the server:',
    byRestartAgain: 'Restart the server: it prints the link again.',
    linkNeeded: 'Open the printed link',
    linkNeededHint:
      'This server has no users yet. When it started, it printed a link that opens this page: look where you started callburner, or in its log. Each browser needs it once.',
    linkWrong: 'This link does not open this server',
    linkWrongHint: 'Take the link that this server printed when it started last.',
    setUp: 'Welcome',
    setUpHint: 'Choose how you sign in. You will be the first admin, and can add others.',
    setUpAction: 'Create account',
    linkOver: 'This link is not good any more',
    linkOverHint: 'A link is good once, for 30 minutes, until the server restarts.',
    isSetUp: 'This server is set up',
    isSetUpHint: 'Its first user has been made, so that the link is not good any more.',
    lost: 'You are signed out. Your screens stay as they are, and so does a call on this phone.',
    lostTitle: 'Sign in again',
    busyTitle: 'Sign out and hang up?',
    busyText: 'You are in a call on this phone. Signing out ends it.',
    busyAction: 'Hang up and sign out',
  },
  reach: {
    offline: 'You are offline. Calls and words come back with the network.',
    gone: 'The server does not answer. We keep trying; a call on this phone goes on, without its words.',
  },
  open: {
    /** With `add`, one sentence. */
    notice: 'Open to everyone who has the printed link. ',
    add: 'Add a user',
    toRequire: ' to require sign-in.',
    putAway: 'Put this notice away',
  },
  crash: {
    title: 'Something in this screen went wrong',
    text: 'The rest of the page works, and a call goes on. Try again; if it happens once more, reload.',
    updatedTitle: 'A part of the page is missing',
    updatedText:
      'The server was updated, or did not answer. Reload the page to get all of it. Reloading ends a call on this phone.',
    reload: 'Reload the page',
    copyDebug: 'Copy debug info',
  },
  keys: {
    title: 'Keyboard shortcuts',
    here: 'On this screen',
    everywhere: 'Everywhere',
    show: 'Show keyboard shortcuts',
    go: (place: string) => `Go to ${place}`,
    /** Other keys are shown as they are. */
    named: (key: string): string => KEY_NAMES[key] ?? (key.length === 1 ? key.toUpperCase() : key),
    pressThen: 'then',
    or: 'or',
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
