/** End-to-end tests: the built page in Debian's Chromium, on the real server with the real engine. */
import { defineConfig } from '@playwright/test';

/** Keeps the browser from using the network beyond this machine. */
const QUIET = [
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** A fake microphone that beeps, with permission. */
const MICROPHONE = ['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream'];

export default defineConfig({
  testDir: 'e2e',
  testMatch: '*.spec.ts',
  // Screenshots are not tests: `npm run screens` takes them.
  testIgnore: process.env.SCREENS === undefined ? 'screens/**' : [],
  // The recorded call alone plays for 42 s.
  timeout: 120_000,
  expect: { timeout: 15_000 },
  // Tests mostly wait, so three fit on two cores.
  workers: 3,
  // On a shared machine a browser may stall once. Look at tests that are reported as flaky.
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
