const assert = require('node:assert/strict');
const { readFileSync } = require('node:fs');
const { join } = require('node:path');
const { describe, it } = require('node:test');
const { FOLDER, golden, runtime } = require('./runtime');

const OUTGOING = { CallSid: `CA${'1'.repeat(32)}`, From: 'client:u1_backup_jo' };
const SETTINGS = { TWILIO_CALLER_ID: '+14155550100' };

/** The TwiML that answers a form. */
async function answer(settings, form) {
  const backup = await runtime(settings);
  try {
    const response = await backup.post('/voice', form);
    assert.equal(response.status, 200);
    assert.match(response.headers.get('content-type'), /^text\/xml/);
    return await response.text();
  } finally {
    await backup.close();
  }
}

/** The server's answer as a stand-in gives it: nobody is told of the call, and it ends here. */
const standIn = (twiml) =>
  twiml
    .replace(/ statusCallback(Event)?="[^"]*"/g, '')
    .replace(/ action="[^"]*"/, ' action="https://backup.example.org/voice"');

describe('/voice', () => {
  for (const { settings, form, twiml } of JSON.parse(golden('voice.json'))) {
    const what = form.DialCallStatus ?? `${form.From.slice(0, 7)} → ${form.To}`;
    it(`answers as the server: ${what}`, async () =>
      assert.equal(await answer(settings, form), standIn(twiml)));
  }

  it('rings telephones and browsers, and none that cannot be', async () => {
    const settings = { ...SETTINGS, INCOMING_TO: '+14155550101, u1_backup_jo,, not one!, <x/>' };
    const twiml = await answer(settings, { CallSid: OUTGOING.CallSid, From: '+14155550123' });
    assert.match(twiml, /<Number>\+14155550101<\/Number><Client><Identity>u1_backup_jo</);
    assert.equal(twiml.match(/<(Number|Client)>/g).length, 2);
    assert.doesNotMatch(twiml, /callerId/);
    const many = Array.from({ length: 12 }, (_, n) => `jo_${n}`).join();
    const rung = await answer({ INCOMING_TO: many }, { From: '+14155550123' });
    assert.equal(rung.match(/<Client>/g).length, 10);
  });

  it('tells strangers neither whom it rings nor whose number it is', async () => {
    const settings = {
      ...SETTINGS,
      ACCOUNT_SID: `AC${'1'.repeat(32)}`,
      INCOMING_TO: 'u1_backup_jo',
    };
    for (const form of [{ From: '+14155550123' }, { ...OUTGOING, To: '+14155550123' }]) {
      assert.match(await answer(settings, { ...form, AccountSid: settings.ACCOUNT_SID }), /<Dial /);
      for (const AccountSid of ['', `AC${'2'.repeat(32)}`]) {
        const twiml = await answer(settings, { ...form, AccountSid });
        assert.match(twiml, /<Response><Say>[^<]*<\/Say><Hangup\/><\/Response>/);
      }
    }
  });

  it('takes nothing but the number from the page', async () => {
    const page = { callerId: '+19005550199', TWILIO_CALLER_ID: '+19005550199', timeLimit: '1' };
    const form = { ...OUTGOING, ...page, To: '+14155550123' };
    assert.equal(
      await answer(SETTINGS, form),
      await answer(SETTINGS, { ...OUTGOING, To: '+14155550123' }),
    );
  });

  it('never calls again because the server has gone in the middle of a call', async () => {
    const call = { ...OUTGOING, To: '+14155550123', ErrorCode: '11200' };
    const ended = { ...call, ErrorUrl: 'https://calls.example.org/voice/ended' };
    assert.match(
      await answer(SETTINGS, { ...ended, DialCallStatus: 'completed' }),
      /<Response><Hangup\/><\/Response>/,
    );
    const announced = { ...call, ErrorUrl: 'https://calls.example.org/voice/announcement' };
    assert.match(await answer(SETTINGS, announced), /<Response\/>/);
    const began = { ...call, ErrorUrl: 'https://calls.example.org/voice' };
    assert.match(await answer(SETTINGS, began), /<Number>/);
  });

  it('is not shaken by strange forms', async () => {
    const strange = [
      [],
      [['From', 'client:']],
      [['DialCallStatus', 'constructor']],
      [['ErrorUrl', '::']],
      [...Object.entries(OUTGOING), ['To', '+14155550123'], ['To', '+19005550199']],
      [...Object.entries(OUTGOING), ['To', 'x'.repeat(100_000)]],
    ];
    for (const form of strange) assert.match(await answer(SETTINGS, form), /<Hangup\/>/);
  });

  it('has limits where the settings have none that Twilio takes', async () => {
    for (const wrong of ['', '0', '4', '601', '1e9', 'soon', '-5']) {
      const settings = { ...SETTINGS, RING_SECONDS_MAX: wrong, CALL_MINUTES_MAX: wrong && '241' };
      const twiml = await answer(settings, { ...OUTGOING, To: '+14155550123' });
      assert.match(twiml, / timeout="30" timeLimit="14400" /);
    }
  });
});

describe('a number', () => {
  it('is judged as the server does', async () => {
    const backup = await runtime({});
    const { check } = require(Runtime.getFunctions().dialing.path);
    const [, ...lines] = golden('numbers.tsv').trim().split('\n');
    const wrong = lines.filter((line) => {
      const [callerId, countries, special, to, outcome] = line.split('\t');
      const judged = check(JSON.parse(to), { callerId, countries, special: special === 'true' });
      return (judged.number ?? judged.refusal) !== outcome;
    });
    // Plans that have changed since: the server's edition of libphonenumber's data is another one.
    assert.deepEqual(
      wrong.map((line) => JSON.parse(line.split('\t')[3])),
      ['+2631312345', '+22981123456'],
    );
    assert.ok(lines.length > 600);
    await backup.close();
  });

  it('of an emergency is one of those that the server knows', async () => {
    const { EVERYWHERE, TABLE } = require(Runtime.getFunctions().emergency.path);
    const server = readFileSync(join(FOLDER, '../src/dialing/emergency.rs'), 'utf8');
    const words = (text) =>
      text
        .replace(/\\\n/g, ' ')
        .trim()
        .split(/[\s;]+/);
    const [, table] = /const TABLE: &str = "([^"]*)"/.exec(server);
    assert.deepEqual(words(TABLE), words(table));
    const [, everywhere] = /EVERYWHERE: [^=]* = \[([^\]]*)\]/.exec(server);
    assert.deepEqual(EVERYWHERE, everywhere.match(/\d+/g));
  });
});
