/** Tries every screen that one kind of server has, in light and in dark. */
import AxeBuilder from '@axe-core/playwright';
import type { Page } from '@playwright/test';
import { PLACES } from './places';
import { expect, test } from './server';

const GRAVE = ['serious', 'critical'];

/** Tries the page as it stands. */
export async function tryPage(page: Page) {
  const { violations } = await new AxeBuilder({ page }).analyze();
  const grave = violations
    .filter(({ impact }) => GRAVE.includes(impact ?? ''))
    .map(({ id, nodes }) => ({ id, where: nodes.map(({ html, target }) => [target, html]) }));
  expect(grave).toEqual([]);
}

/** WCAG 2.2 AA, and what else axe holds to be good. */
export function tryAll(on: (typeof PLACES)[number]['on']) {
  for (const place of PLACES.filter((one) => one.on === on))
    for (const scheme of ['light', 'dark'] as const)
      test(`${place.name} in ${scheme}`, async ({ page, server }) => {
        await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
        await place.go(page, server);
        await tryPage(page);
      });
}
