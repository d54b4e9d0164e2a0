/**
 * `/token`: a pass to Twilio for the browser called `identity`, when the server cannot give one.
 * Protected: Twilio lets nobody in whose request is not signed with the account's auth token, so
 * that a browser cannot ask by itself; whoever holds that token asks for it (`ask.mjs`).
 */
const { IDENTITY, mint } = require(Runtime.getFunctions().pass.path);

const NEEDED = ['ACCOUNT_SID', 'TWILIO_API_KEY', 'TWILIO_API_SECRET', 'TWILIO_TWIML_APP_SID'];

exports.handler = (context, { identity = '' }, callback) => {
  const response = new Twilio.Response();
  response.appendHeader('Content-Type', 'application/json');
  response.appendHeader('Cache-Control', 'no-store');
  const answer = (status, body) => {
    response.setStatusCode(status);
    response.setBody(body);
    callback(null, response);
  };
  const missing = NEEDED.filter((name) => !context[name]);
  if (missing.length > 0) {
    const message = `a token needs ${missing.join(', ')}: see .env.example, then deploy again`;
    return answer(503, { error: { code: 'twilio_not_set_up', message } });
  }
  if (!IDENTITY.test(identity)) {
    const message = 'identity needs 1 to 121 letters, digits and underscores';
    return answer(400, { error: { code: 'bad_identity', message } });
  }
  const keys = {
    accountSid: context.ACCOUNT_SID,
    apiKey: context.TWILIO_API_KEY,
    apiSecret: context.TWILIO_API_SECRET,
    applicationSid: context.TWILIO_TWIML_APP_SID,
    region: context.TWILIO_REGION,
  };
  return answer(200, mint(keys, identity, Date.now()));
};
