import { finishedCall } from './places';
import { expect, test } from './server';

const banner = (text: RegExp) => ({ hasText: text });

test('an open server shows the phone, and every place', async ({ page }) => {
  await page.goto('/');
  const nav = page.getByRole('navigation', { name: 'Main' });
  for (const place of ['Calls', 'Settings', 'Phone']) {
    await nav.getByRole('link', { name: place }).click();
    await expect(page.getByRole('heading', { level: 1 })).toHaveText(place);
    await expect(page).toHaveTitle(`${place} · CallBurner`);
    await expect(page.locator('#screen')).toBeFocused();
  }
});

test('an open server says so until that is put away, for good', async ({ page }) => {
  await page.goto('/');
  const notice = page
    .getByRole('status')
    .filter(banner(/Open to everyone who has the printed link/));
  await expect(notice).toBeVisible();
  await notice.getByRole('link', { name: 'Add a user' }).click();
  await expect(page.getByRole('region', { name: 'Users' })).toBeFocused();
  await notice.getByRole('button', { name: 'Put this notice away' }).click();
  await expect(notice).toBeHidden();
  await page.reload();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Settings');
  await expect(notice).toBeHidden();
});

test('keys lead everywhere, and mean nothing where one types', async ({ page }) => {
  await page.goto('/');
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Phone');
  await page.keyboard.press('g');
  await page.keyboard.press('s');
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Settings');

  await page.keyboard.press('?');
  const sheet = page.getByRole('dialog', { name: 'Keyboard shortcuts' });
  await expect(sheet.getByText('Go to Calls')).toBeVisible();
  // Behind the dialog nothing moves.
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

test('a server that is gone is told at once, and its return too', async ({ page, server }) => {
  await page.goto('/settings');
  await page.getByRole('textbox', { name: 'Add a keyword' }).fill('invoi');
  await expect(page.getByText('Ready to take calls')).toBeVisible();
  const gone = page.getByRole('status').filter(banner(/The server does not answer/));
  await expect(gone).toBeHidden();
  await server.kill();
  await page.getByRole('button', { name: 'Check again' }).click();
  await expect(gone).toBeVisible();
  await server.restart();
  await expect(gone).toBeHidden({ timeout: 40_000 });
  await expect(page.getByText('Ready to take calls')).toBeVisible();
  await expect(page.getByRole('textbox', { name: 'Add a keyword' })).toHaveValue('invoi');
});

test('a part of the page that is gone offers to load all of it', async ({ page }) => {
  await page.goto('/');
  await page.route(/\/assets\/SettingsScreen-.*\.js$/, (route) => route.abort());
  const nav = page.getByRole('navigation', { name: 'Main' });
  await nav.getByRole('link', { name: 'Settings' }).click();
  await expect(page.getByRole('alert')).toContainText('A part of the page is missing');
  await page.getByRole('button', { name: 'Copy debug info' }).click();
  await expect(page.getByText('Debug info copied.')).toBeVisible();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toContain('## Failure');
  // The shell lives on.
  await nav.getByRole('link', { name: 'Phone' }).click();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Phone');
  await page.unroute(/\/assets\/SettingsScreen-.*\.js$/);
  await nav.getByRole('link', { name: 'Settings' }).click();
  await page.getByRole('button', { name: 'Reload the page' }).click();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Settings');
});

test('a call is printed as its words', async ({ page }) => {
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
  await expect(page.getByText('Open to everyone')).toBeHidden();
});

test('twice as large, everything is still there', async ({ page }) => {
  // 200 % of a window of 1280 by 800.
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
