/**
 * From nothing to a user who is signed in and reads a call: a built binary, a folder with nothing in
 * it, README's way, a browser. Prints how long each step took, and takes a picture at the end:
 * `npm run -s from-nothing`. It measures and fails nothing for being slow.
 */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium, expect } from '@playwright/test';

const ROOT = join(import.meta.dirname, '../..');
const BINARY =
  process.env.CALLBURNER_BIN ??
  join(process.env.CARGO_TARGET_DIR ?? join(ROOT, 'target'), 'release/callburner');
const MODEL = 'tiny.en';
const MODELS = process.env.MODELS_DIR ?? join(ROOT, 'models');
const PICTURE = join(ROOT, 'client/test-results/from-nothing.png');

/** How long any one step may take before it is given up. */
const STEP_MS_MAX = 120_000;

if (!existsSync(BINARY)) {
  console.error(`${BINARY} is not there: run cargo build --release, or set CALLBURNER_BIN`);
  process.exit(1);
}

const folder = mkdtempSync(join(tmpdir(), 'callburner-from-nothing-'));
const port = await freePort();
const url = `http://localhost:${port}`;
const env = {
  ...process.env,
  PORT: String(port),
  DATA_DIR: join(folder, 'data'),
  MODELS_DIR: MODELS,
  MODEL,
  // Others reach it, so that it wants users; and without an account it plays its own call.
  PUBLIC_BASE_URL: url,
  SIMULATE_TRANSCRIPTION: 'true',
};
const steps = [];
let said = '';
let server;
let browser;
try {
  const hadModel = existsSync(join(MODELS, `ggml-${MODEL}.bin`));
  const pull = () => execFileSync(BINARY, ['models', 'pull', MODEL], { cwd: folder, env });
  await step(hadModel ? `model ${MODEL} (was there)` : `model ${MODEL} (pulled)`, pull);

  await step('callburner serve prints the link', async () => {
    server = spawn(BINARY, ['serve'], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
    server.stdout.on('data', (text) => (said += text));
    server.stderr.on('data', (text) => (said += text));
    await until(() => /\/setup#\S+\s/.test(said));
  });
  await step('a call could be taken (/readyz)', () => until(() => answers(`${url}/readyz`)));

  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
  let page;
  await step('Chromium is open', async () => {
    browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-quic'] });
    page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
    page.setDefaultTimeout(STEP_MS_MAX);
  });
  await step('the link’s page is there', async () => {
    await page.goto(/http:\S+\/setup#\S+/.exec(said)?.[0] ?? '');
    await page.getByRole('heading', { level: 1, name: 'Welcome' }).waitFor();
  });
  await step('the first user is signed in', async () => {
    await page.getByLabel('Name').fill('alice');
    await page.getByLabel('Password').fill('correct horse battery staple');
    await page.getByRole('button', { name: 'Create account' }).click();
    await page.getByRole('heading', { level: 1, name: 'Phone' }).waitFor();
  });
  const words = page.getByRole('region', { name: 'Transcript' });
  const final = (speaker) => words.locator(`[data-state=settled][data-speaker=${speaker}] [lang]`);
  await step('the recorded call plays', async () => {
    await page.getByRole('button', { name: 'Play the recorded call' }).click();
    await words.waitFor();
  });
  await step('first words, not yet final', () =>
    words.locator('[data-state=open]').first().waitFor(),
  );
  await step('final words of one side', () =>
    final('agent').or(final('customer')).first().waitFor(),
  );
  await step('final words of both sides', async () => {
    for (const speaker of ['agent', 'customer'])
      await expect(final(speaker).first()).toHaveText(/\w/, { timeout: STEP_MS_MAX });
  });
  await page.screenshot({ path: PICTURE });

  for (const [name, seconds] of steps) console.log(row(name, seconds));
  console.log(
    row(
      'from nothing',
      steps.reduce((sum, [, seconds]) => sum + seconds, 0),
    ),
  );
  for (const speaker of ['agent', 'customer'])
    console.log(`${speaker}: ${await final(speaker).first().textContent()}`);
  console.log(`binary of ${Math.round(statSync(BINARY).size / 1e6)} MB; picture: ${PICTURE}`);
} finally {
  await browser?.close();
  if (server !== undefined && server.exitCode === null) {
    const gone = new Promise((done) => server.once('exit', done));
    // A gentler signal would wait for the call's end.
    server.kill('SIGKILL');
    await gone;
  }
  rmSync(folder, { recursive: true, force: true });
}

/** Does one thing, and notes its seconds. */
async function step(name, work) {
  const begun = performance.now();
  await work();
  steps.push([name, (performance.now() - begun) / 1000]);
}

function row(name, seconds) {
  return `${name.padEnd(36)}${seconds.toFixed(1).padStart(6)} s`;
}

async function freePort() {
  const listener = createServer();
  await new Promise((done) => listener.listen(0, '127.0.0.1', done));
  const { port } = listener.address();
  await new Promise((done) => listener.close(done));
  return port;
}

/** Waits until it is so, or the server has ended. */
async function until(isSo) {
  const last = Date.now() + STEP_MS_MAX;
  while (!(await isSo())) {
    if (server?.exitCode !== null || Date.now() > last)
      throw new Error(`the server did not come up: ${said}`);
    await new Promise((done) => setTimeout(done, 20));
  }
}

function answers(address) {
  return fetch(address).then(
    (answer) => answer.ok,
    () => false,
  );
}
