/** Checks the screens of one kind of server with axe, in the light and the dark theme. */
import AxeBuilder from '@axe-core/playwright';
import type { Page } from '@playwright/test';
import { SCREENS } from './pages';
import { expect, test } from './server';

const FAILING_IMPACTS = ['serious', 'critical'];

/** Checks the current page. */
export async function checkPage(page: Page) {
  const { violations } = await new AxeBuilder({ page }).analyze();
  const failing = violations
    .filter(({ impact }) => FAILING_IMPACTS.includes(impact ?? ''))
    .map(({ id, nodes }) => ({ id, where: nodes.map(({ html, target }) => [target, html]) }));
  expect(failing).toEqual([]);
}

/** Checks all screens against WCAG 2.2 AA and the best practices of axe. */
export function checkAll(on: (typeof SCREENS)[number]['on']) {
  for (const screen of SCREENS.filter((one) => one.on === on))
    for (const scheme of ['light', 'dark'] as const)
      test(`${screen.name} in ${scheme}`, async ({ page, server }) => {
        await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
        await screen.go(page, server);
        await checkPage(page);
      });
}
