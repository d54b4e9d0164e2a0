/**
 * The softphone's access token, with the claims of the server's own (`src/twilio/token.rs`): what
 * lets a browser speak with Twilio, and what it is called there. Pure.
 */
const { sign } = require('jsonwebtoken');

/** How long a token is good for. */
const LIFETIME_SECONDS = 60 * 60;

/** How far this clock may be ahead of the one that checks the token. */
const CLOCK_SKEW_SECONDS = 30;

/** What a browser may be called at Twilio. */
const IDENTITY = /^\w{1,121}$/;

/** What `GET /api/token` of the server answers. */
function mint({ accountSid, apiKey, apiSecret, applicationSid, region }, identity, nowMs) {
  const now = Math.floor(nowMs / 1000);
  const exp = now + LIFETIME_SECONDS;
  const claims = {
    jti: `${apiKey}-${identity}-${nowMs}`,
    iss: apiKey,
    sub: accountSid,
    nbf: now - CLOCK_SKEW_SECONDS,
    exp,
    grants: {
      identity,
      voice: {
        incoming: { allow: true },
        outgoing: { application_sid: applicationSid },
      },
    },
  };
  const header = { cty: 'twilio-fpa;v=1', ...(region && { twr: region }) };
  const token = sign(claims, apiSecret, { algorithm: 'HS256', header, noTimestamp: true });
  return { token, identity, expiresAt: new Date(exp * 1000).toISOString() };
}

module.exports = { IDENTITY, mint };
