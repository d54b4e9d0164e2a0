/** For tests that have no mouse. */
import type { Locator, Page } from '@playwright/test';
import { ALICE, expect } from './server';

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

/** Signs in on the page that asks for it. */
export async function signInByKeyboard(page: Page) {
  await expect(page.getByLabel('Name')).toBeFocused();
  await page.keyboard.type(ALICE.name);
  await page.keyboard.press('Tab');
  await page.keyboard.type(ALICE.password);
  await page.keyboard.press('Enter');
}
