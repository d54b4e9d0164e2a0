const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const { createServer } = require('node:http');
const { join } = require('node:path');
const { after, before, describe, it } = require('node:test');
const { promisify } = require('node:util');
const jwt = require('jsonwebtoken');
const twilio = require('twilio');
const { FOLDER, golden, routes, runtime } = require('./runtime');

const { settings, nowMs, header, claims, answer } = JSON.parse(golden('token.json'));
const AUTH_TOKEN = '0123456789abcdef0123456789abcdef';

describe('/token', () => {
  let backup;
  before(async () => {
    backup = await runtime(settings);
  });
  after(() => backup.close());

  it('gives the token that the server would give at that moment', () => {
    const { mint } = require(Runtime.getFunctions().pass.path);
    const keys = {
      accountSid: settings.ACCOUNT_SID,
      apiKey: settings.TWILIO_API_KEY,
      apiSecret: settings.TWILIO_API_SECRET,
      applicationSid: settings.TWILIO_TWIML_APP_SID,
    };
    const minted = mint(keys, answer.identity, nowMs);
    const decoded = jwt.verify(minted.token, settings.TWILIO_API_SECRET, {
      complete: true,
      clockTimestamp: nowMs / 1000,
    });
    assert.deepEqual(decoded.header, header);
    assert.deepEqual(decoded.payload, claims);
    assert.equal(minted.identity, answer.identity);
    const regional = mint({ ...keys, region: 'ie1' }, answer.identity, nowMs).token;
    assert.equal(jwt.decode(regional, { complete: true }).header.twr, 'ie1');
    assert.equal(Date.parse(minted.expiresAt), Date.parse(answer.expiresAt));
  });

  it('gives one that is good now', async () => {
    const earliest = Date.now();
    const response = await backup.post('/token', { identity: answer.identity });
    assert.equal(response.status, 200);
    assert.equal(response.headers.get('cache-control'), 'no-store');
    const given = await response.json();
    const payload = jwt.verify(given.token, settings.TWILIO_API_SECRET);
    assert.deepEqual(payload.grants, claims.grants);
    const ms = Number(payload.jti.split('-').at(-1));
    assert.ok(earliest <= ms && ms <= Date.now());
    assert.equal(payload.exp, Math.floor(ms / 1000) + 3600);
    assert.equal(given.identity, answer.identity);
  });

  it('says what is wrong', async () => {
    for (const identity of ['', 'jo@example.org', 'x'.repeat(122)]) {
      const response = await backup.post('/token', { identity });
      assert.equal(response.status, 400);
      assert.equal((await response.json()).error.code, 'bad_identity');
    }
    const bare = await runtime({ ...settings, TWILIO_API_SECRET: '' });
    const response = await bare.post('/token', { identity: answer.identity });
    assert.equal(response.status, 503);
    assert.match((await response.json()).error.message, /needs TWILIO_API_SECRET:/);
    await bare.close();
  });

  it('is for those alone who can sign, and /voice for all', async () => {
    const { functions } = await routes();
    const access = Object.fromEntries(functions.map((found) => [found.path, found.access]));
    assert.deepEqual(access, {
      '/token': 'protected',
      '/voice': 'protected',
      '/dialing': 'private',
      '/emergency': 'private',
      '/pass': 'private',
    });
  });

  // The local runtime lets everyone in: a stand-in for Twilio's guard checks the signature first.
  it('is asked by whoever holds the auth token', async () => {
    const guard = createServer(async (request, response) => {
      const chunks = await request.toArray();
      const form = Object.fromEntries(new URLSearchParams(Buffer.concat(chunks).toString()));
      const url = `http://${request.headers.host}${request.url}`;
      const signature = request.headers['x-twilio-signature'] ?? '';
      if (!twilio.validateRequest(AUTH_TOKEN, signature, url, form)) {
        response.writeHead(403).end('Unauthorized - you are not authenticated');
        return;
      }
      const answered = await backup.post(request.url, form);
      response.writeHead(answered.status).end(await answered.text());
    });
    await new Promise((listening) => guard.listen(0, '127.0.0.1', listening));
    const url = `http://127.0.0.1:${guard.address().port}/token`;
    const ask = (authToken) =>
      promisify(execFile)(process.execPath, [join(FOLDER, 'ask.mjs'), url, answer.identity], {
        env: { ...process.env, AUTH_TOKEN: authToken },
      });
    const given = JSON.parse((await ask(AUTH_TOKEN)).stdout);
    assert.deepEqual(jwt.verify(given.token, settings.TWILIO_API_SECRET).grants, claims.grants);
    await assert.rejects(ask('f'.repeat(32)), /Command failed/);
    guard.close();
  });
});
