/** The phone: dialling, and what happens until a call is over. */
import type { Ending } from '../phone/ending';
import type { Cause } from '../phone/errors';
import type { Level, Reason } from '../phone/quality';

interface Said {
  /** What happened. */
  what: string;
  /** What one can do about it. */
  todo: string;
}

const trouble: Record<Cause, Said> = {
  'no-internet': {
    what: 'The server does not answer.',
    todo: 'Check that you are online and that callburner is running.',
  },
  'no-line': {
    what: 'The connection to Twilio was lost.',
    todo: 'It is tried again by itself. If it stays away, check your network and status.twilio.com.',
  },
  'line-not-up': {
    what: 'The connection to Twilio could not be made.',
    todo: 'Check your network and status.twilio.com, then go online again.',
  },
  'line-blocked': {
    what: 'The sound cannot get through.',
    todo: 'A firewall or VPN may block it: ask for UDP to Twilio’s media addresses, or try another network.',
  },
  'token-refused': {
    what: 'Twilio does not accept this server’s keys.',
    todo: 'Whoever runs the server finds out more with: callburner doctor.',
  },
  'token-expired': {
    what: 'This page’s pass to Twilio has expired.',
    todo: 'Go online again. If that does not help, check the clocks of this computer and of the server.',
  },
  account: {
    what: 'The Twilio account cannot be used.',
    todo: 'It may be suspended or out of credit: look into Twilio’s console.',
  },
  app: {
    what: 'Twilio does not find the application that calls go through.',
    todo: 'Whoever runs the server mends it with: callburner setup.',
  },
  identity: {
    what: 'Twilio does not accept this browser’s name.',
    todo: 'Reload the page and go online again.',
  },
  'too-often': {
    what: 'Twilio was asked too often.',
    todo: 'Wait a minute, then try again.',
  },
  'bad-request': {
    what: 'Twilio did not understand this page.',
    todo: 'Reload it. If it happens again, please report it with the code.',
  },
  'no-media': {
    what: 'The sound of the call could not be set up, or broke off.',
    todo: 'Check your network, then call again.',
  },
  'no-permission': {
    what: 'This page may not use the microphone.',
    todo: 'Allow it in the browser, at the left of the address bar, then try again.',
  },
  'no-microphone': {
    what: 'No microphone was found.',
    todo: 'Plug one in, or choose another one below.',
  },
  'microphone-busy': {
    what: 'The microphone cannot be opened.',
    todo: 'Another program may hold it: close that, or choose another microphone.',
  },
  'insecure-page': {
    what: 'Browsers give the microphone to secure pages alone.',
    todo: 'Open this page over https, or on the server’s own machine as localhost.',
  },
  'no-webrtc': {
    what: 'This browser cannot make calls.',
    todo: 'Use a current Chrome, Edge, Firefox or Safari.',
  },
  'not-found': {
    what: 'Nobody is reached under this number.',
    todo: 'Check the number.',
  },
  unavailable: { what: 'The other end cannot be reached now.', todo: 'Try again later.' },
  busy: { what: 'The line is busy.', todo: 'Try again in a while.' },
  declined: { what: 'The call was declined.', todo: 'Try again later.' },
  gone: { what: 'The call was over before it was answered.', todo: 'Call back if you like.' },
  'timed-out': { what: 'Twilio took too long to answer.', todo: 'Try again.' },
  'sdk-not-loaded': {
    what: 'A part of this page could not be loaded.',
    todo: 'Check that you are online, and reload the page.',
  },
  server: { what: 'The server refused.', todo: 'Try again, or look into its log.' },
  unknown: {
    what: 'Something went wrong that this page does not know.',
    todo: 'Try again. If it happens again, please report it with the code.',
  },
};

const ending: Record<Ending, { title: string; hint: string }> = {
  'you-hung-up': { title: 'You hung up', hint: '' },
  'they-hung-up': { title: 'They hung up', hint: '' },
  cancelled: { title: 'Cancelled before it was answered', hint: '' },
  busy: { title: 'The line is busy', hint: 'Try again in a while.' },
  'no-answer': { title: 'Nobody answered', hint: 'Try again later.' },
  declined: { title: 'They declined the call', hint: 'Try again later.' },
  'caller-gone': { title: 'The caller hung up before you were connected', hint: '' },
  'no-line': {
    title: 'The call was not connected',
    hint: 'The number is not at fault. Try again in a moment.',
  },
  'not-connected': {
    title: 'The call was not connected',
    hint: 'Check the number, then try again.',
  },
  'connection-lost': {
    title: 'The connection was lost',
    hint: 'Check your network, then call again.',
  },
  'bad-number': { title: 'This number cannot be called', hint: 'Check the number.' },
  'country-not-allowed': {
    title: 'Calls to this country are not allowed',
    hint: 'Whoever runs the server allows countries in its settings.',
  },
  'special-number': {
    title: 'Calls to numbers of this kind are not allowed',
    hint: 'Whoever runs the server can allow premium and shared-cost numbers.',
  },
  'emergency-number': {
    title: 'Emergency numbers cannot be called from here',
    hint: 'Use a telephone.',
  },
  'too-many-calls': {
    title: 'All lines are busy',
    hint: 'As many calls go on as this server allows. Try again later.',
  },
  'too-many-calls-of-user': {
    title: 'You have too many calls at once',
    hint: 'End another one first.',
  },
  'too-often': { title: 'Too many calls just now', hint: 'Try again in a minute.' },
  'too-many-today': {
    title: 'As many calls as are allowed within a day',
    hint: 'Try again later. The limit is a setting of the server.',
  },
  'too-long-today': {
    title: 'As many minutes as are allowed within a day',
    hint: 'Try again later. The limit is a setting of the server.',
  },
  'not-set-up': {
    title: 'The server is not set up for calls',
    hint: 'Whoever runs it finds out more with: callburner doctor.',
  },
  'unknown-user': { title: 'You are not signed in any more', hint: 'Reload the page.' },
};

const quality: Record<Level, string> = {
  good: 'Good connection',
  fair: 'Fair connection',
  poor: 'Poor connection',
};

const reasons: Record<Reason, string> = {
  'no-connection': 'The network between you and Twilio is gone.',
  'hears-nothing': 'No sound arrives from the other end.',
  'not-heard': 'Your sound does not get through.',
  'loses-packets': 'Parts of the sound get lost on the way. A cable is better than Wi-Fi.',
  slow: 'The sound is late: you may talk over each other.',
  uneven: 'The sound arrives unevenly. Something else may be using your network.',
  'microphone-flat': 'Your microphone gives no sound. It may be switched off.',
  'low-score': 'The sound is bad to listen to.',
};

export const phone = {
  title: 'Phone',
  trouble,
  ending,
  code: (code: number) => `Twilio’s code: ${code}`,
  gate: {
    title: 'Ready to make calls?',
    body: 'Your browser asks for the microphone, and whether it may tell you of calls. Until you go offline or close this page, calls to your number ring here.',
    goOnline: 'Go online',
    goingOnline: 'Going online…',
    devices: 'Microphone and sound',
    mobile: 'On a phone, calls ring only while this page is open in front.',
  },
  line: {
    online: 'Online',
    lost: 'Reconnecting…',
    goOffline: 'Go offline',
    lostBanner: 'Reconnecting to Twilio. Calls cannot reach you meanwhile.',
  },
  welcome: {
    title: 'See a call written down',
    body: 'A recorded conversation of 42 seconds, played as if it were on the line: this very machine hears both sides, and writes them down as they speak.',
    play: 'Play the recorded call',
    account:
      'No Twilio account is connected yet. For calls of your own, whoever runs this server runs',
    close: 'Back to the phone',
  },
  dial: {
    number: 'Number to call',
    placeholder: 'Type or paste a number',
    country: 'Country',
    erase: 'Erase the last digit',
    call: 'Call',
    calls: (e164: string, country: string | undefined) =>
      country ? `Calls ${e164} in ${country}` : `Calls ${e164}`,
    plus: 'Hold for +',
    keypad: 'Keypad',
    key: (digit: string, letters: string) => (letters ? `${digit}, ${letters}` : digit),
    keys: { star: 'star', hash: 'hash' },
    problem: {
      'too-short': 'This number is too short.',
      'too-long': 'This number is too long.',
      'unknown-country': 'No country has this code.',
      'not-a-number': 'This is not a telephone number.',
      unused: (country: string) => `There are no such numbers in ${country}.`,
      emergency: (digits: string) =>
        `${digits} cannot be called from here: this page does not know where you are. Use a telephone.`,
    },
    option: (name: string, callingCode: string) => `${name} (+${callingCode})`,
  },
  recents: {
    title: 'Latest calls',
    none: 'No calls yet.',
    all: 'All calls',
    callBack: (party: string) => `Call ${party}`,
    open: (party: string) => `Open the call with ${party}`,
    outgoing: 'Outgoing',
    incoming: 'Incoming',
    missed: 'Missed',
    unknown: 'Unknown',
  },
  stage: {
    dialling: 'Calling…',
    ringing: 'Ringing…',
    answering: 'Connecting…',
    reconnecting: 'Reconnecting the sound…',
  },
  controls: {
    label: 'Call controls',
    mute: 'Mute',
    unmute: 'Unmute',
    muted: 'You are muted',
    talkingWhileMuted: 'You are talking, but you are muted.',
    keypad: 'Keypad',
    devices: 'Sound',
    hangUp: 'Hang up',
    hangUpQuestion: 'Hang up?',
    hangUpBody: (party: string) => `This ends the call with ${party}.`,
    sent: 'Sent digits',
    sentNone: 'Type or press digits. A comma waits for half a second.',
    keys: 'In a call',
  },
  ended: {
    talked: (time: string) => `You talked for ${time}.`,
    again: 'Call again',
    open: 'Open the call',
    done: 'Done',
  },
  quality: { levels: quality, reasons, label: 'Connection' },
  incoming: {
    title: 'Incoming call',
    unknown: 'Unknown caller',
    accept: 'Accept',
    reject: 'Reject',
    ignore: 'Ignore',
    flash: (party: string) => `☎ ${party} calls`,
    missed: (party: string) => `Missed call from ${party}.`,
    elsewhere: (party: string) => `The call from ${party} was answered elsewhere.`,
    more: (count: number) => (count === 1 ? 'One more call waits.' : `${count} more calls wait.`),
  },
  waiting: {
    says: (party: string) => `Another call is waiting: ${party}.`,
    decline: 'Decline',
  },
  bar: { label: 'Your call', return: 'Return to the call' },
  devices: {
    microphone: 'Microphone',
    speaker: 'Speaker',
    ringtone: 'Ringtone',
    system: 'As the system has it',
    level: 'Level of the microphone',
    test: 'Play a test tone',
    testRing: 'Play the ringtone',
    unnamed: (number: number) => `Device ${number}`,
    noChoice: 'This browser plays on the system’s output; choose it there.',
    lost: 'The chosen device is not plugged in: the system’s own is used.',
  },
} as const;
