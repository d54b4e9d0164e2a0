/**
 * The real server, one per worker: `test` has a `server` with its own folder and port, and a `page`
 * that fails the test when it logs an error or violates its content security policy.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BrowserContext, test as base, expect } from '@playwright/test';

const ROOT = join(import.meta.dirname, '../..');
const BINARY =
  process.env.CALLBURNER_BIN ??
  join(process.env.CARGO_TARGET_DIR ?? join(ROOT, 'target'), 'debug/callburner');

/**
 * A folder with the built page, in place of the one in the binary: `CALLBURNER_DIST=dist npm run e2e`
 * after `npm run build` tests the page without building the server.
 */
const DIST = process.env.CALLBURNER_DIST;

/** A server must respond within this time after its start: it loads the model. */
const STARTS_WITHIN_MS = 60_000;

/** The user who signs in where it is required. */
export const ALICE = { name: 'alice', password: 'correct horse battery staple' };

/** A running server. */
export interface Server {
  url: string;
  /** The secret in the printed link of a server without users; scripts send it as their token. */
  pageKey: () => string | undefined;
  /** The log so far. */
  log: () => string;
  /** Runs `callburner` in the same folder: `server.run(['user', 'add', 'bob'], 'password\n')`. */
  run: (args: string[], input?: string) => string;
  /** Kills it and starts it again, on the same port and folder. */
  restart: () => Promise<void>;
  /** Kills it; `restart` brings it back. */
  kill: () => Promise<void>;
  /** Kills it, and removes its folder. */
  stop: () => Promise<void>;
}

interface ServerOptions {
  /**
   * Settings beyond folder and port: `test.use({ settings: { ARCHIVE: 'true' } })`. `$URL` in one is
   * the server's own address.
   */
  settings: Record<string, string>;
  /** The users; without any, the printed link opens the server, as on a local machine. */
  users: readonly { name: string; password: string }[];
}

interface BrowserOptions {
  /** The browser has opened the printed link of a server without users. */
  isLinkOpened: boolean;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = server.address();
  await new Promise((done) => server.close(done));
  if (address === null || typeof address === 'string') throw new Error('no port is free');
  return address.port;
}

async function start({ settings, users }: ServerOptions): Promise<Server> {
  if (!existsSync(BINARY))
    throw new Error(`${BINARY} is not there: run cargo build, or set CALLBURNER_BIN`);
  const folder = mkdtempSync(join(tmpdir(), 'callburner-e2e-'));
  const port = await freePort();
  const url = `http://localhost:${port}`;
  const own = Object.entries(settings).map(([name, value]) => [name, value.replace('$URL', url)]);
  const env = {
    PATH: process.env.PATH ?? '',
    PORT: String(port),
    DATA_DIR: folder,
    MODELS_DIR: join(ROOT, 'models'),
    ...Object.fromEntries(own),
  };
  const run = (args: string[], input = '') =>
    // In its own folder, so that it does not read the .env of the developer.
    execFileSync(BINARY, args, { cwd: folder, env, input, encoding: 'utf8' });
  for (const { name, password } of users)
    run(['user', 'add', '--permanent', name], `${password}\n`);

  let log = '';
  let child: ChildProcess;
  const up = async () => {
    child = spawn(BINARY, ['serve'], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout?.on('data', (text) => (log += text));
    child.stderr?.on('data', (text) => (log += text));
    const until = Date.now() + STARTS_WITHIN_MS;
    // The link is printed a moment later than the server responds.
    const isOpen = users.length === 0 && settings.PUBLIC_BASE_URL === undefined;
    const logStart = log.length;
    const hasPrintedLink = () => !isOpen || log.indexOf('/open#', logStart) >= 0;
    while (!(await answers(`${url}/healthz`)) || !hasPrintedLink()) {
      if (child.exitCode !== null || Date.now() > until) throw new Error(`no server: ${log}`);
      await new Promise((done) => setTimeout(done, 50));
    }
  };
  const down = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((done) => child.once('exit', done));
    child.kill('SIGKILL');
    await gone;
  };
  await up();
  return {
    url,
    pageKey: () => /\/open#(\S+)/.exec(log)?.[1],
    log: () => log,
    run,
    restart: async () => {
      await down();
      await up();
    },
    kill: down,
    stop: async () => {
      await down();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

const answers = (url: string) =>
  fetch(url).then(
    (answer) => answer.ok,
    () => false,
  );

/** Serves everything but the API from the folder. */
async function serveFrom(context: BrowserContext, url: string, folder: string) {
  const isPage = ({ origin, pathname }: URL) =>
    origin === url && !/^\/(api|ws|media|voice|healthz|readyz|metrics)\b/.test(pathname);
  // With the content security policy of the server.
  const policy = (await fetch(url)).headers.get('content-security-policy') ?? '';
  await context.route(isPage, (route) => {
    const file = join(folder, new URL(route.request().url()).pathname);
    const isFile = existsSync(file) && statSync(file).isFile();
    if (isFile) return route.fulfill({ path: file });
    const headers = { 'content-type': 'text/html', 'content-security-policy': policy };
    return route.fulfill({ path: join(folder, 'index.html'), headers });
  });
}

/** Console errors that do not fail a test. */
const EXPECTED_ERRORS = [
  // A request that the test expects to fail, or a server that it has stopped.
  /Failed to load resource/,
  /WebSocket connection to .* failed/,
  // A chunk that the test removes.
  /Failed to fetch dynamically imported module/,
];

export const test = base.extend<BrowserOptions, ServerOptions & { server: Server }>({
  settings: [{}, { option: true, scope: 'worker' }],
  users: [[], { option: true, scope: 'worker' }],
  server: [
    async ({ settings, users }, use) => {
      const server = await start({ settings, users });
      await use(server);
      await server.stop();
    },
    { scope: 'worker', timeout: STARTS_WITHIN_MS },
  ],
  baseURL: async ({ server }, use) => use(server.url),
  isLinkOpened: [true, { option: true }],
  context: async ({ context, server, isLinkOpened }, use) => {
    if (DIST) {
      await serveFrom(context, server.url, DIST);
      // A page from a folder has no IP address, so the browser restricts its access to this machine.
      await context.grantPermissions(['local-network-access']);
    }
    const secret = server.pageKey();
    if (secret !== undefined && isLinkOpened)
      await context.request.post(`${server.url}/api/session/open`, { data: { secret } });
    await use(context);
  },
  page: async ({ page }, use) => {
    const errors: string[] = [];
    page.on('pageerror', (error) => errors.push(String(error)));
    page.on('console', (message) => {
      if (
        message.type() === 'error' &&
        !EXPECTED_ERRORS.some((error) => error.test(message.text()))
      )
        errors.push(message.text());
    });
    await use(page);
    expect(errors, 'errors on the console').toEqual([]);
  },
});

export { expect };
