/** Takes pictures of screens: `npm run screens`. */
import { join } from 'node:path';
import type { Page } from '@playwright/test';
import { PLACES } from '../places';
import { test } from '../server';

const FOLDER = process.env.SCREENS || join(import.meta.dirname, '../../screens');

export const SIZES = {
  desktop: { width: 1280, height: 800 },
  phone: { width: 390, height: 844 },
};

/** As it is now, in light and in dark. */
export async function shoot(page: Page, name: string) {
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    const path = join(FOLDER, `${name}-${colorScheme}.png`);
    await page.screenshot({ path, animations: 'disabled', caret: 'hide' });
  }
}

/** That a server is open to all stands on one picture; it is enough. */
const putNoticeAway = () =>
  localStorage.setItem('callburner.preferences', JSON.stringify({ openNoticeAway: true }));

/** Every screen that one kind of server has. */
export function shootAll(on: (typeof PLACES)[number]['on']) {
  for (const place of PLACES.filter((one) => one.on === on))
    for (const [size, viewport] of Object.entries(SIZES))
      test(`${place.name} on a ${size}`, async ({ page, server }) => {
        await page.setViewportSize(viewport);
        if (place.name !== 'phone') await page.addInitScript(putNoticeAway);
        await place.go(page, server);
        await shoot(page, `${place.name}-${size}`);
      });
}
