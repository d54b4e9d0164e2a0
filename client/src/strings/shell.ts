const KEY_NAMES: Readonly<Record<string, string>> = {
  ArrowLeft: '←',
  ArrowRight: '→',
  ArrowUp: '↑',
  ArrowDown: '↓',
  Escape: 'Esc',
  Mod: 'Ctrl',
};

/** The frame around the screens, signing in, and errors. */
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
    passwordHint: 'At least 8 characters. A few unrelated words make a good password.',
    oneMoment: 'One moment…',
    wrong: 'Name or password is wrong.',
    tooMany: (seconds: number) =>
      `Too many attempts. You can try again in ${seconds === 1 ? 'one second' : `${seconds} seconds`}.`,
    tryNow: 'You can try again now.',
    nobodyYet: 'Nobody can sign in yet',
    nobodyYetHint:
      'When it started, the server printed a link for creating the first user. Look in the terminal where you started callburner, or in its log. Is there no link, or is it older than 30 minutes?',
    byRestart: 'Restart the server to print a new link.',
    byCommand: 'Or run, on the server:',
    byRestartAgain: 'Restart the server to print the link again.',
    linkNeeded: 'Open the printed link',
    linkNeededHint:
      'This server has no users yet. When it started, it printed a link that opens this page. Look in the terminal where you started callburner, or in its log. Each browser needs the link once.',
    linkWrong: 'This link does not open this server',
    linkWrongHint: 'Use the link that this server printed when it last started.',
    setUp: 'Welcome',
    setUpHint:
      'Choose your name and password. You will be the first admin and can add other users.',
    setUpAction: 'Create account',
    linkOver: 'This link is no longer valid',
    linkOverHint: 'A link works once, for 30 minutes, and only until the server restarts.',
    isSetUp: 'This server is set up',
    isSetUpHint: 'Its first user exists, so the link is no longer valid.',
    lost: 'You are signed out. This page stays as it is, and a call on it continues.',
    ownTitle: 'Choose your own password',
    ownLead: (name: string) =>
      `The password of ${name} was set by somebody else. Choose one that only you know.`,
    ownPassword: 'New password',
    ownAction: 'Set password',
    givenPassword: 'The password that you were given',
    givenWrong: 'This is not the password that you were given.',
    lostTitle: 'Sign in again',
    busyTitle: 'Sign out and hang up?',
    busyText: 'You are in a call. Signing out ends it.',
    busyAction: 'Hang up and sign out',
  },
  factor: {
    askForCode: 'Your password is correct. Now enter your second factor.',
    askForPasskey: 'Your password is correct. Now use your passkey, or enter a recovery code.',
    code: 'Code from your app, or a recovery code',
    codeHint: 'The app shows a new code every 30 seconds.',
    recoveryCode: 'Recovery code',
    wrong: 'That was not accepted. A code works once, and for about a minute. Try the next one.',
    over: 'You took too long, or made too many attempts. Sign in again.',
    back: 'Back',
    neededTitle: 'Set up a second factor',
    neededLead:
      'This server requires more than a password to sign in. Set up an authenticator app or a passkey.',
  },
  passkeys: {
    signIn: 'Sign in with a passkey',
    use: 'Use your passkey',
    unknown:
      'This server does not know this passkey. Try another one, or sign in with your password.',
    notUsed: 'The passkey was not used. Try again, or sign in another way.',
    known: 'This device already has one of your passkeys.',
  },
  confirm: {
    title: 'Confirm that it is you',
    text: 'You signed in a while ago. Type your password to continue.',
    password: 'Your password',
    action: 'Continue',
    passkey: 'Use your passkey',
    wrong: 'The password is wrong.',
    notDone: 'Nothing was changed, because you did not confirm that it is you.',
  },
  connectivity: {
    offline: 'You are offline. Calls and transcripts resume when the network is back.',
    gone: 'The server is not responding. Retrying automatically. A call on this page continues, without a transcript.',
  },
  openServer: {
    /** The start of a sentence that `add` and `toRequire` continue. */
    notice: 'This server is open to everyone who has the printed link. ',
    add: 'Add a user',
    toRequire: ' to require sign-in.',
    putAway: 'Dismiss this notice',
  },
  crash: {
    title: 'Something went wrong on this screen',
    text: 'The rest of the page works, and a call continues. Try again. If it happens again, reload the page.',
    updatedTitle: 'A part of the page could not be loaded',
    updatedText:
      'The server was updated, or did not respond. Reload the page. Reloading ends a call on this page.',
    reload: 'Reload the page',
    copyDebug: 'Copy debug info',
  },
  keys: {
    title: 'Keyboard shortcuts',
    here: 'On this screen',
    everywhere: 'Everywhere',
    show: 'Show keyboard shortcuts',
    go: (place: string) => `Go to ${place}`,
    /** The label of a key on the keyboard. */
    named: (key: string): string => KEY_NAMES[key] ?? (key.length === 1 ? key.toUpperCase() : key),
    pressThen: 'then',
    or: 'or',
    off: 'Single-key shortcuts are off. Turn them on in Settings.',
  },
  errors: {
    unreachable:
      'The server is not responding. Check your network, and that callburner is running. Then try again.',
    unexpected: (status: number) =>
      `The server responded with an unexplained error (${status}). Try again, or check the server log.`,
    inThePage: 'Something went wrong on this page. Reload it.',
    noSuchPage: 'There is no such page.',
    noSuchPageHint: 'The link may be outdated or mistyped.',
    toPhone: 'Go to the phone',
  },
} as const;
