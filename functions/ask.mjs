/**
 * Asks the deployed `/token` for a browser's pass, as whoever holds the account's auth token may:
 * `AUTH_TOKEN=… npm run -s ask -- https://callburner-backup-1234.twil.io/token u1_backup_jo`.
 */
import twilio from 'twilio';

const [url, identity] = process.argv.slice(2);
const token = process.env.AUTH_TOKEN;
if (!url || !identity || !token) {
  console.error('Usage: AUTH_TOKEN=… npm run -s ask -- https://DOMAIN/token IDENTITY');
  process.exit(2);
}
const form = { identity };
const signature = twilio.getExpectedTwilioSignature(token, url, form);
const answer = await fetch(url, {
  method: 'POST',
  headers: { 'X-Twilio-Signature': signature },
  body: new URLSearchParams(form),
  signal: AbortSignal.timeout(15_000),
});
console.log(await answer.text());
process.exit(answer.ok ? 0 : 1);
