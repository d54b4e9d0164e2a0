/** Twilio's own local runtime, with the functions as its toolkit finds them, on a free port. */
const { readFileSync } = require('node:fs');
const { createServer } = require('node:http');
const { join } = require('node:path');
const { fsHelpers } = require('@twilio-labs/serverless-api');
const { LocalDevelopmentServer } = require('@twilio/runtime-handler/dev');

const FOLDER = join(__dirname, '..');

/** What `twilio-run` deploys: names, paths, who may come in. */
const routes = () => fsHelpers.getListOfFunctionsAndAssets(FOLDER);

/** A runtime with these settings; its functions are called with `post`. */
async function runtime(env) {
  const url = 'https://backup.example.org';
  const config = { baseDir: FOLDER, env, url, routes: await routes(), logs: false };
  const server = createServer(new LocalDevelopmentServer(0, config).getApp());
  await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
  const address = `http://127.0.0.1:${server.address().port}`;
  return {
    post: (path, form) =>
      fetch(address + path, { method: 'POST', body: new URLSearchParams(form) }),
    close: () => new Promise((closed) => server.close(closed)),
  };
}

/** What the server says, written down by its own tests. */
const golden = (name) => readFileSync(join(FOLDER, '../fixtures/backup', name), 'utf8');

module.exports = { FOLDER, golden, routes, runtime };
