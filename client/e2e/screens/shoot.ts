/** Takes a picture of every screen that one kind of server has: `npm run screens`. */
import { join } from 'node:path';
import { PLACES } from '../places';
import { test } from '../server';

const FOLDER = process.env.SCREENS || join(import.meta.dirname, '../../screens');

const SIZES = {
  desktop: { width: 1280, height: 800 },
  phone: { width: 390, height: 844 },
};

export function shootAll(on: (typeof PLACES)[number]['on']) {
  for (const place of PLACES.filter((one) => one.on === on))
    for (const [size, viewport] of Object.entries(SIZES))
      test(`${place.name} on a ${size}`, async ({ page, server }) => {
        await page.setViewportSize(viewport);
        await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' });
        await place.go(page, server);
        for (const scheme of ['light', 'dark'] as const) {
          await page.emulateMedia({ colorScheme: scheme });
          const path = join(FOLDER, `${place.name}-${size}-${scheme}.png`);
          await page.screenshot({ path, animations: 'disabled', caret: 'hide' });
        }
      });
}
