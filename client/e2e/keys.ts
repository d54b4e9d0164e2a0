/** Helpers for keyboard-only tests. */
import type { Locator, Page } from '@playwright/test';
import { ALICE, expect } from './server';

/** More controls than any screen has, so that the search for one ends. */
const TABS_MAX = 80;

/** Presses Tab until the target has the focus. */
export async function tabTo(page: Page, target: Locator) {
  for (let tab = 0; tab < TABS_MAX; tab++) {
    if (await target.evaluate((element) => element === document.activeElement)) return;
    await page.keyboard.press('Tab');
  }
  throw new Error(`Tab does not lead to ${target}`);
}

/** Tabs to the target, and presses Enter. */
export async function press(page: Page, target: Locator) {
  await tabTo(page, target);
  await page.keyboard.press('Enter');
}

/** Signs in on the sign-in page. */
export async function signInByKeyboard(page: Page) {
  await expect(page.getByLabel('Name')).toBeFocused();
  await page.keyboard.type(ALICE.name);
  await page.keyboard.press('Tab');
  await page.keyboard.type(ALICE.password);
  await page.keyboard.press('Enter');
}
