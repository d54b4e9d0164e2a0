/** End-to-end tests: the built page in Debian's Chromium, on the real server with the real engine. */
import { defineConfig } from '@playwright/test';

/** A headless browser needs no more of the network than this machine. */
const QUIET = [
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** A microphone that beeps, and the permission to hear it. */
const MICROPHONE = ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream'];

export default defineConfig({
  testDir: 'e2e',
  testMatch: '*.spec.ts',
  // Pictures prove nothing: `npm run screens` takes them.
  testIgnore: process.env.SCREENS === undefined ? 'screens/**' : [],
  // A call takes its time: the recorded one plays for 42 s.
  timeout: 120_000,
  expect: { timeout: 15_000 },
  // Most of a test is waiting: three do not crowd two cores.
  workers: 3,
  // On a machine that others share a browser may stall once. The list says "flaky": look at it.
  retries: 1,
  forbidOnly: Boolean(process.env.CI),
  reporter: [['list']],
  use: {
    browserName: 'chromium',
    viewport: { width: 1280, height: 800 },
    locale: 'en-US',
    timezoneId: 'Europe/London',
    trace: 'retain-on-failure',
    permissions: ['microphone', 'notifications', 'clipboard-read', 'clipboard-write'],
    launchOptions: {
      executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
      args: [...QUIET, ...MICROPHONE],
    },
  },
});
