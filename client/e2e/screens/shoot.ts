/** Takes screenshots: `npm run screens`. */
import { join } from 'node:path';
import type { Page } from '@playwright/test';
import { SCREENS } from '../pages';
import { test } from '../server';

const FOLDER = process.env.SCREENS || join(import.meta.dirname, '../../screens');

export const SIZES = {
  desktop: { width: 1280, height: 800 },
  phone: { width: 390, height: 844 },
};

/** Takes the current page in the light and the dark theme. */
export async function shoot(page: Page, name: string) {
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    const path = join(FOLDER, `${name}-${colorScheme}.png`);
    await page.screenshot({ path, animations: 'disabled', caret: 'hide' });
  }
}

/** Dismisses the notice of an open server, which one screenshot shows. */
const dismissNotice = () =>
  localStorage.setItem('callburner.preferences', JSON.stringify({ openNoticeAway: true }));

/** Takes every screen of one kind of server. */
export function shootAll(on: (typeof SCREENS)[number]['on']) {
  for (const screen of SCREENS.filter((one) => one.on === on))
    for (const [size, viewport] of Object.entries(SIZES))
      test(`${screen.name} on a ${size}`, async ({ page, server }) => {
        await page.setViewportSize(viewport);
        if (screen.name !== 'phone') await page.addInitScript(dismissNotice);
        await screen.go(page, server);
        await shoot(page, `${screen.name}-${size}`);
      });
}
