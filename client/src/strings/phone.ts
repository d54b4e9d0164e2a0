/** The phone: dialling, and a call until it ends. */
import type { CallEnding, PhoneErrorCause, QualityLevel, QualityReason } from './phoneStates';

interface Advice {
  /** What happened. */
  what: string;
  /** What the user can do. */
  todo: string;
}

const errors: Record<PhoneErrorCause, Advice> = {
  'no-internet': {
    what: 'The server is not responding.',
    todo: 'Check your network, and that callburner is running.',
  },
  'no-line': {
    what: 'The connection to Twilio was lost.',
    todo: 'Retrying automatically. If the connection stays down, check your network and status.twilio.com.',
  },
  'line-not-up': {
    what: 'The connection to Twilio could not be established.',
    todo: 'Check your network and status.twilio.com, then go online again.',
  },
  'line-blocked': {
    what: 'The audio of calls is blocked.',
    todo: 'A firewall or VPN may be the cause. Allow UDP to Twilio’s media addresses, or try another network.',
  },
  'token-refused': {
    what: 'Twilio rejected the API key of this server.',
    todo: 'Ask the person who runs the server to run: callburner doctor.',
  },
  'token-expired': {
    what: 'The Twilio access token of this page has expired.',
    todo: 'Go online again. If that does not help, check the clocks of this computer and of the server.',
  },
  account: {
    what: 'The Twilio account cannot be used.',
    todo: 'It may be suspended or out of credit. Check the Twilio console.',
  },
  app: {
    what: 'Twilio cannot find the TwiML app for calls.',
    todo: 'Ask the person who runs the server to run: callburner setup.',
  },
  identity: {
    what: 'Twilio rejected the identity of this browser.',
    todo: 'Reload the page and go online again.',
  },
  'too-often': {
    what: 'This page sent too many requests to Twilio.',
    todo: 'Wait a minute, then try again.',
  },
  'bad-request': {
    what: 'Twilio rejected a request of this page.',
    todo: 'Reload the page. If it happens again, please report it with the code.',
  },
  'no-media': {
    what: 'The audio connection of the call failed.',
    todo: 'Check your network, then call again.',
  },
  'no-permission': {
    what: 'This page is not allowed to use the microphone.',
    todo: 'Allow it in the browser, at the left of the address bar, then try again.',
  },
  'no-microphone': {
    what: 'No microphone was found.',
    todo: 'Connect one, or choose another one below.',
  },
  'microphone-busy': {
    what: 'The microphone cannot be opened.',
    todo: 'Another program may be using it. Close that program, or choose another microphone.',
  },
  'insecure-page': {
    what: 'Browsers allow the microphone on secure pages only.',
    todo: 'Open this page over https, or as localhost on the machine of the server.',
  },
  'no-webrtc': {
    what: 'This browser cannot make calls.',
    todo: 'Use a current Chrome, Edge, Firefox or Safari.',
  },
  'not-found': {
    what: 'This number is not in service.',
    todo: 'Check the number.',
  },
  unavailable: { what: 'The other party cannot be reached now.', todo: 'Try again later.' },
  busy: { what: 'The line is busy.', todo: 'Try again in a while.' },
  declined: { what: 'The call was declined.', todo: 'Try again later.' },
  gone: { what: 'The call ended before it was answered.', todo: 'Call back if you want to.' },
  'timed-out': { what: 'Twilio took too long to respond.', todo: 'Try again.' },
  'sdk-not-loaded': {
    what: 'A part of this page could not be loaded.',
    todo: 'Check your network, then reload the page.',
  },
  server: { what: 'The server refused the request.', todo: 'Try again, or check the server log.' },
  unknown: {
    what: 'An unknown error occurred.',
    todo: 'Try again. If it happens again, please report it with the code.',
  },
};

const endings: Record<CallEnding, { title: string; hint: string }> = {
  'you-hung-up': { title: 'You hung up', hint: '' },
  'they-hung-up': { title: 'They hung up', hint: '' },
  cancelled: { title: 'Cancelled before it was answered', hint: '' },
  busy: { title: 'The line is busy', hint: 'Try again in a while.' },
  'no-answer': { title: 'Nobody answered', hint: 'Try again later.' },
  declined: { title: 'They declined the call', hint: 'Try again later.' },
  'caller-gone': { title: 'The caller hung up before you were connected', hint: '' },
  'no-line': {
    title: 'The call was not connected',
    hint: 'The number is not the cause. Try again in a moment.',
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
    hint: 'The person who runs the server can allow the country in its settings.',
  },
  'special-number': {
    title: 'Calls to this kind of number are not allowed',
    hint: 'The person who runs the server can allow premium-rate and shared-cost numbers.',
  },
  'emergency-number': {
    title: 'Emergency numbers cannot be called from here',
    hint: 'Use a telephone.',
  },
  'too-many-calls': {
    title: 'Too many calls on this server',
    hint: 'This server has reached its limit of simultaneous calls. Try again later.',
  },
  'too-many-calls-of-user': {
    title: 'You have too many calls at once',
    hint: 'End another one first.',
  },
  'too-often': { title: 'Too many calls just now', hint: 'Try again in a minute.' },
  'too-many-today': {
    title: 'Daily limit of calls reached',
    hint: 'Try again later. The limit is a setting of the server.',
  },
  'too-long-today': {
    title: 'Daily limit of call minutes reached',
    hint: 'Try again later. The limit is a setting of the server.',
  },
  'not-set-up': {
    title: 'The server is not set up for calls',
    hint: 'Ask the person who runs the server to run: callburner doctor.',
  },
  'unknown-user': { title: 'You are no longer signed in', hint: 'Reload the page.' },
};

const quality: Record<QualityLevel, string> = {
  good: 'Good connection',
  fair: 'Fair connection',
  poor: 'Poor connection',
};

const reasons: Record<QualityReason, string> = {
  'no-connection': 'The network connection to Twilio is lost.',
  'hears-nothing': 'No sound arrives from the other party.',
  'not-heard': 'The other party does not receive your sound.',
  'loses-packets': 'Parts of the sound are lost on the way. A cable works better than Wi-Fi.',
  slow: 'The sound is delayed, so you may talk over each other.',
  uneven: 'The sound arrives unevenly. Something else may be using your network.',
  'microphone-flat': 'Your microphone delivers no sound. It may be switched off.',
  'low-score': 'The sound quality is poor.',
};

export const phone = {
  title: 'Phone',
  errors,
  endings,
  code: (code: number) => `Twilio error code: ${code}`,
  offline: {
    title: 'Ready to make calls?',
    body: 'Your browser asks for permission to use the microphone and to notify you of calls. Calls to your number ring here until you go offline or close this page.',
    goOnline: 'Go online',
    goingOnline: 'Going online…',
    devices: 'Microphone and sound',
    mobile: 'On a mobile phone, calls ring only while this page is in the foreground.',
  },
  line: {
    online: 'Online',
    lost: 'Reconnecting…',
    goOffline: 'Go offline',
    lostBanner: 'Reconnecting to Twilio. Calls cannot reach you in the meantime.',
  },
  welcome: {
    title: 'See a live transcript',
    body: 'A recorded conversation of 42 seconds, played like a live call. This server transcribes both parties as they speak.',
    play: 'Play the recorded call',
    account:
      'No Twilio account is connected yet. To make real calls, the person who runs this server has to run',
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
      'unknown-country': 'No country has this calling code.',
      'not-a-number': 'This is not a telephone number.',
      unused: (country: string) => `This is not a valid number in ${country}.`,
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
    more: (count: number) =>
      count === 1 ? 'One more call is waiting.' : `${count} more calls are waiting.`,
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
    system: 'System default',
    level: 'Microphone level',
    test: 'Play a test tone',
    testRing: 'Play the ringtone',
    unnamed: (number: number) => `Device ${number}`,
    noChoice: 'This browser uses the audio output of the system. Choose it in the system settings.',
    lost: 'The chosen device is not connected. The system default is used.',
  },
} as const;
