/** For tests that have no mouse. */
import type { Locator, Page } from '@playwright/test';

/** More controls than any screen has. */
const TABS_MAX = 80;

/** Goes on with Tab until there. */
export async function tabTo(page: Page, target: Locator) {
  for (let tab = 0; tab < TABS_MAX; tab++) {
    if (await target.evaluate((element) => element === document.activeElement)) return;
    await page.keyboard.press('Tab');
  }
  throw new Error(`Tab does not lead to ${target}`);
}

/** Goes there, and presses it. */
export async function press(page: Page, target: Locator) {
  await tabTo(page, target);
  await page.keyboard.press('Enter');
}
