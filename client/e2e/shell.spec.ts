import { finishedCall } from './pages';
import { expect, test } from './server';

const banner = (text: RegExp) => ({ hasText: text });

test('an open server shows every screen', async ({ page }) => {
  await page.goto('/');
  const nav = page.getByRole('navigation', { name: 'Main' });
  for (const screen of ['Calls', 'Settings', 'Phone']) {
    await nav.getByRole('link', { name: screen }).click();
    await expect(page.getByRole('heading', { level: 1 })).toHaveText(screen);
    await expect(page).toHaveTitle(`${screen} · CallBurner`);
    await expect(page.locator('#screen')).toBeFocused();
  }
});

test('the notice of an open server can be dismissed permanently', async ({ page }) => {
  await page.goto('/');
  const notice = page
    .getByRole('status')
    .filter(banner(/open to everyone who has the printed link/));
  await expect(notice).toBeVisible();
  await notice.getByRole('link', { name: 'Add a user' }).click();
  await expect(page.getByRole('region', { name: 'Users' })).toBeFocused();
  await notice.getByRole('button', { name: 'Dismiss this notice' }).click();
  await expect(notice).toBeHidden();
  await page.reload();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Settings');
  await expect(notice).toBeHidden();
});

test('shortcuts open every screen, and have no effect in text fields', async ({ page }) => {
  await page.goto('/');
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Phone');
  await page.keyboard.press('g');
  await page.keyboard.press('s');
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Settings');

  await page.keyboard.press('?');
  const sheet = page.getByRole('dialog', { name: 'Keyboard shortcuts' });
  await expect(sheet.getByText('Go to Calls')).toBeVisible();
  // Shortcuts have no effect behind a dialog.
  await page.keyboard.press('g');
  await page.keyboard.press('c');
  await page.keyboard.press('Escape');
  await expect(sheet).toBeHidden();
  await expect(page).toHaveURL(/\/settings$/);

  const field = page.getByRole('textbox', { name: 'Add a keyword' });
  await field.focus();
  await page.keyboard.type('g c?');
  await expect(field).toHaveValue('g c?');
  await expect(page).toHaveURL(/\/settings$/);

  await page.getByRole('switch', { name: 'Single-key shortcuts' }).press('Space');
  await page.locator('#screen').focus();
  await page.keyboard.press('g');
  await page.keyboard.press('c');
  await page.keyboard.press('?');
  await expect(sheet).toBeHidden();
  await expect(page).toHaveURL(/\/settings$/);
});

test('an unreachable server is reported at once, and its return too', async ({ page, server }) => {
  await page.goto('/settings');
  await page.getByRole('textbox', { name: 'Add a keyword' }).fill('invoi');
  await expect(page.getByText('Ready to take calls')).toBeVisible();
  const gone = page.getByRole('status').filter(banner(/The server is not responding/));
  await expect(gone).toBeHidden();
  await server.kill();
  await page.getByRole('button', { name: 'Check again' }).click();
  await expect(gone).toBeVisible();
  await server.restart();
  await expect(gone).toBeHidden({ timeout: 40_000 });
  await expect(page.getByText('Ready to take calls')).toBeVisible();
  await expect(page.getByRole('textbox', { name: 'Add a keyword' })).toHaveValue('invoi');
});

test('a missing chunk offers to reload the page', async ({ page }) => {
  await page.goto('/');
  await page.route(/\/assets\/SettingsScreen-.*\.js$/, (route) => route.abort());
  const nav = page.getByRole('navigation', { name: 'Main' });
  await nav.getByRole('link', { name: 'Settings' }).click();
  await expect(page.getByRole('alert')).toContainText('A part of the page could not be loaded');
  await page.getByRole('button', { name: 'Copy debug info' }).click();
  await expect(page.getByText('Debug info copied.')).toBeVisible();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toContain('## Failure');
  // The frame around the screen still works.
  await nav.getByRole('link', { name: 'Phone' }).click();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Phone');
  await page.unroute(/\/assets\/SettingsScreen-.*\.js$/);
  await nav.getByRole('link', { name: 'Settings' }).click();
  await page.getByRole('button', { name: 'Reload the page' }).click();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Settings');
});

test('a printed call contains only its transcript', async ({ page }) => {
  await page.goto(`/calls/${await finishedCall(page)}`);
  const words = page.getByText('young man');
  await expect(words).toBeVisible();
  await page.emulateMedia({ media: 'print' });
  await expect(words).toBeVisible();
  await expect(page.getByRole('heading', { level: 1 })).toBeVisible();
  for (const gone of [
    page.getByRole('navigation', { name: 'Main' }),
    page.getByRole('region', { name: 'Player' }),
    page.getByRole('textbox'),
    page.getByRole('complementary'),
  ])
    await expect(gone).toHaveCount(0);
  await expect(page.getByText('open to everyone')).toBeHidden();
});

test('at 200 % zoom everything is still there', async ({ page }) => {
  // A window of 1280 by 800 pixels at 200 %.
  await page.setViewportSize({ width: 640, height: 400 });
  for (const path of ['/', '/calls', '/settings']) {
    await page.goto(path);
    await expect(page.getByRole('heading', { level: 1 })).toBeVisible();
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(
      640,
    );
    await expect(page.getByRole('link', { name: 'Settings', exact: true })).toBeInViewport();
  }
});
