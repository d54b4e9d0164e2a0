/**
 * `/voice`: what Twilio does with a call while the server does not answer. The parties are connected
 * under the server's rules (`src/calls/answer.rs`), and nothing is written down.
 *
 * Protected: Twilio lets in only what is signed with the account's auth token, as its own questions are.
 * Twilio comes here as the fallback of whatever the server was asked, and with what it was asked:
 * only a call that begins is connected, and none a second time.
 */
const { E164, SPOKEN, check } = require(Runtime.getFunctions().dialing.path);
const { IDENTITY } = require(Runtime.getFunctions().pass.path);

/** Telephones and browsers that one call rings: Twilio's limit. */
const NOUNS_MAX = 10;

/** Why the other end is not there; anything else has been a call. */
const ENDED = new Map([
  ['busy', 'The line is busy.'],
  ['no-answer', 'Nobody answered.'],
  ['failed', 'The call could not be connected. Please check the number.'],
]);

exports.handler = (context, event, callback) => callback(null, answer(context, event));

function answer(context, event) {
  if (!isOurs(context, event)) return sorry('Sorry, this call could not be understood.');
  if (event.DialCallStatus) return ended(event.DialCallStatus);
  // The called party has picked up, and the server was to say that the call is written down.
  if (pathOf(event.ErrorUrl).endsWith('/voice/announcement'))
    return new Twilio.twiml.VoiceResponse();
  return isBrowser(event.From) ? outgoing(context, event) : incoming(context, event);
}

/** Whether a call is of this account. */
const isOurs = ({ ACCOUNT_SID }, { AccountSid }) => !ACCOUNT_SID || AccountSid === ACCOUNT_SID;

const isBrowser = (from) => from?.startsWith?.('client:') && IDENTITY.test(from.slice(7));

/** A browser calls a number. */
function outgoing(context, { To }) {
  const callerId = context.TWILIO_CALLER_ID;
  if (!E164.test(callerId ?? '')) {
    return sorry('This phone cannot place calls yet. Its owner has to set its Twilio number.');
  }
  const { number, refusal } = check(String(To ?? ''), {
    callerId,
    countries: context.ALLOWED_COUNTRIES,
    special: context.ALLOW_SPECIAL_NUMBERS === 'true',
  });
  if (refusal) return sorry(SPOKEN[refusal]);
  return connect(context, { callerId }, (dial) => dial.number(number));
}

/** A number calls. */
function incoming(context, { CallSid }) {
  const wanted = (context.INCOMING_TO ?? '').split(',').map((name) => name.trim());
  const rung = wanted.filter((name) => E164.test(name) || IDENTITY.test(name)).slice(0, NOUNS_MAX);
  if (rung.length === 0) {
    return sorry('Sorry, nobody can take your call now. Please try again later.');
  }
  return connect(context, {}, (dial) => {
    for (const name of rung) {
      if (E164.test(name)) {
        dial.number(name);
        continue;
      }
      const client = dial.client();
      client.identity(name);
      // The page only knows the SID of its own leg.
      client.parameter({ name: 'callSid', value: CallSid });
    }
  });
}

function connect(context, caller, ring) {
  const response = new Twilio.twiml.VoiceResponse();
  const dial = response.dial({
    ...caller,
    answerOnBridge: true,
    timeout: within(context.RING_SECONDS_MAX, 5, 600, 30),
    timeLimit: 60 * within(context.CALL_MINUTES_MAX, 1, 240, 240),
    action: `https://${context.DOMAIN_NAME}/voice`,
  });
  ring(dial);
  return response;
}

/** The other end has hung up, or never answered. */
function ended(status) {
  const response = new Twilio.twiml.VoiceResponse();
  if (ENDED.has(status)) response.say(ENDED.get(status));
  response.hangup();
  return response;
}

function sorry(text) {
  const response = new Twilio.twiml.VoiceResponse();
  response.say(text);
  response.hangup();
  return response;
}

/** A setting, if it is a whole number from `least` to `most`. */
function within(text, least, most, otherwise) {
  const number = /^\d{1,4}$/.test(text ?? '') ? Number(text) : otherwise;
  return number >= least && number <= most ? number : otherwise;
}

function pathOf(url) {
  return URL.canParse(url ?? '') ? new URL(url).pathname : '';
}
