/** A stored call: search, playback, notes, labels, exports and deletion. */
import { readFileSync } from 'node:fs';
import AxeBuilder from '@axe-core/playwright';
import type { Page } from '@playwright/test';
import type { CallDetail, Word } from '../src/api/types';
import { completedCall } from './history-calls';
import { press, tabTo } from './keys';
import { restingScrollTop } from './live';
import { expect, test } from './server';

test.use({ settings: { ARCHIVE: 'true' } });

let sid = '';

test.beforeAll(async ({ server }) => {
  sid = await completedCall(server);
});

const words = (page: Page) => page.getByRole('list', { name: 'Transcript' });
/** Matches a word with any punctuation, which differs between models. */
const written = (text: string) => new RegExp(`^\\W*${text}\\W*$`, 'i');
const word = (page: Page, text: string) =>
  words(page).locator('[data-word]').getByText(written(text)).first();
const slider = (page: Page) => page.getByRole('slider', { name: 'Position in the call' });
const search = (page: Page) => page.getByRole('searchbox', { name: 'Search calls' });

/** The state of the audio element. */
const sound = (page: Page) =>
  page.locator('audio').evaluate((audio) => {
    if (!(audio instanceof HTMLAudioElement)) throw new Error('no audio');
    const { currentTime, paused, playbackRate, readyState } = audio;
    return { currentTime, paused, playbackRate, readyState };
  });

/** Opens the page of the call, and waits until its audio can seek. */
async function open(page: Page, search = '') {
  await page.goto(`/calls/${sid}${search}`);
  await expect.poll(async () => (await sound(page)).readyState).toBeGreaterThan(0);
}

/** The word that is marked as spoken. */
const spoken = (page: Page, text: string) =>
  words(page).locator('[data-now]').filter({ hasText: text });

/** All words of the server, sorted by time. */
async function spokenWords(page: Page): Promise<Word[]> {
  const { segments }: CallDetail = await (await page.request.get(`/api/calls/${sid}`)).json();
  return segments.flatMap(({ words }) => words).sort((a, b) => a.startMs - b.startMs);
}

/** The time when a word was first spoken, in seconds. */
async function startS(page: Page, text: string): Promise<number> {
  const found = (await spokenWords(page)).find((word) => written(text).test(word.text));
  if (!found) throw new Error(`nobody says ${text}`);
  return found.startMs / 1_000;
}

async function firstWord(page: Page): Promise<Word> {
  const [first] = await spokenWords(page);
  if (!first) throw new Error('nobody says anything');
  return first;
}

test('a search finds a call by a spoken word, and opens it at that moment', async ({ page }) => {
  await page.goto('/calls');
  await search(page).fill('patience');
  const hit = page.getByRole('link', { name: /Thank you for your patience/ });
  await expect(hit.locator('mark')).toHaveText('patience');
  await hit.click();
  await expect(page).toHaveURL(/\/calls\/CA\w+\?t=\d+/);
  await expect(spoken(page, 'Thank')).toBeVisible();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Recorded customer');
  // Back restores the search.
  await page.getByRole('main').getByRole('link', { name: 'Calls' }).click();
  await expect(search(page)).toHaveValue('patience');
});

test('a click on a word plays from there, and spoken words are marked', async ({ page }) => {
  await open(page);
  const response = word(page, 'response');
  // The click itself marks the word, not a later frame.
  const isMarked = await response.evaluate((element: HTMLElement) => {
    element.click();
    return element.hasAttribute('data-now');
  });
  expect(isMarked).toBe(true);
  await page.keyboard.press('k');
  await expect.poll(async () => (await sound(page)).paused).toBe(true);
  const understand = word(page, 'understand');
  const from = await startS(page, 'understand');
  await understand.click();
  const { currentTime } = await sound(page);
  expect(currentTime).toBeGreaterThanOrEqual(from);
  expect(currentTime).toBeLessThan(from + 5);
  await expect.poll(async () => (await sound(page)).paused).toBe(false);
  // The playback continues: words of the next line are marked, too.
  const next = words(page).getByRole('listitem').filter({ hasText: 'selfish' });
  await expect(next.locator('[data-now]')).toBeVisible();
  await page.keyboard.press('k');
  await expect.poll(async () => (await sound(page)).paused).toBe(true);
});

test('shortcuts seek, play and change the speed', async ({ page }) => {
  await open(page, '?t=10');
  const time = async () => Math.round((await sound(page)).currentTime);
  await expect.poll(time).toBe(10);
  for (const [key, seconds] of [
    ['l', 25],
    ['j', 10],
    ['ArrowRight', 15],
    ['Shift+ArrowLeft', 0],
    ['ArrowLeft', 0],
  ] as const) {
    await page.keyboard.press(key);
    await expect.poll(time, key).toBe(seconds);
  }
  await page.keyboard.press('.');
  await expect(spoken(page, (await firstWord(page)).text)).toBeVisible();
  await page.keyboard.press('>');
  await expect(page.getByRole('combobox', { name: 'Speed' })).toHaveValue('1.25');
  expect((await sound(page)).playbackRate).toBe(1.25);
  await page.keyboard.press('Space');
  await expect.poll(async () => (await sound(page)).paused).toBe(false);
  await page.keyboard.press('Space');
  await expect.poll(async () => (await sound(page)).paused).toBe(true);
});

test('playback does not scroll a reader who has scrolled away, until they jump back', async ({
  page,
}) => {
  await page.setViewportSize({ width: 390, height: 600 });
  await open(page, '?t=4');
  const scrolled = () => restingScrollTop(page.getByRole('main'));
  await page.getByRole('button', { name: 'Play', exact: true }).click();
  await expect.poll(async () => (await sound(page)).currentTime).toBeGreaterThan(4.5);
  await page.mouse.move(195, 250);
  await page.mouse.wheel(0, 3_000);
  const jump = page.getByRole('button', { name: 'Jump to now' });
  await expect(jump).toBeVisible();
  const there = await scrolled();
  const next = words(page).getByRole('listitem').filter({ hasText: 'young man' });
  await expect(next.locator('[data-now]')).toHaveCount(1);
  expect(await scrolled()).toBe(there);
  await jump.click();
  await expect(jump).toHaveCount(0);
  expect(await scrolled()).toBeLessThan(there);
});

test('silence is skipped on request', async ({ page }) => {
  await open(page);
  await page.getByRole('button', { name: 'Skip silence' }).click();
  await page.getByRole('button', { name: 'Play', exact: true }).click();
  // The first word comes after more than three seconds, which were skipped.
  const first = (await firstWord(page)).startMs / 1_000;
  expect(first).toBeGreaterThan(3);
  await expect.poll(async () => (await sound(page)).currentTime).toBeGreaterThan(first);
  const skipped = await page.locator('audio').evaluate((audio) => {
    if (!(audio instanceof HTMLAudioElement)) throw new Error('no audio');
    let seconds = audio.currentTime;
    for (let at = 0; at < audio.played.length; at++)
      seconds -= audio.played.end(at) - audio.played.start(at);
    return seconds;
  });
  expect(skipped).toBeGreaterThan(2);
});

test('a link opens the call at its moment, and can be copied at any moment', async ({ page }) => {
  // A word that is being spoken at a full second.
  const secondOf = ({ startMs }: Word) => Math.ceil(startMs / 1_000);
  const said = (await spokenWords(page)).find((word) => secondOf(word) * 1_000 < word.endMs);
  if (!said) throw new Error('every word is shorter than a second, and none is said on one');
  const second = secondOf(said);
  await open(page, `?t=0:${String(second).padStart(2, '0')}`);
  await expect(spoken(page, said.text)).toBeVisible();
  await page.keyboard.press('ArrowRight');
  await page.getByRole('button', { name: 'Copy link to this moment' }).click();
  const link = await page.evaluate(() => navigator.clipboard.readText());
  expect(new URL(link).searchParams.get('t')).toBe(String(second + 5));
});

test('the search in the transcript steps through its matches', async ({ page }) => {
  await open(page);
  await page.keyboard.press('/');
  await page.keyboard.type('thank you');
  await expect(page.getByText('1 of 2')).toBeVisible();
  const current = words(page).locator('[data-found="current"]');
  await expect(current).toHaveText([written('thank'), written('you')]);
  await page.keyboard.press('Enter');
  await expect(page.getByText('2 of 2')).toBeVisible();
  await expect(current).toHaveText([written('thank'), written('you')]);
  await page.keyboard.press('Escape');
  await expect(current).toHaveCount(0);
});

test('notes are saved automatically and survive a reload', async ({ page }) => {
  await open(page);
  const notes = page.getByRole('textbox', { name: 'Notes' });
  await notes.fill('Call back on Monday');
  await expect(page.getByText('Saved', { exact: true })).toBeVisible();
  await page.reload();
  await expect(notes).toHaveValue('Call back on Monday');
});

test('notes are kept while the server fails, and saved when it is back', async ({ page }) => {
  await open(page);
  const notes = page.getByRole('textbox', { name: 'Notes' });
  await page.route(`**/api/calls/${sid}`, (route) =>
    route.request().method() === 'PATCH' ? route.abort() : route.fallback(),
  );
  await notes.fill('Written while it was down');
  await expect(page.getByText(/Not saved\. The server is not responding/)).toBeVisible();
  // They survive a change of screens.
  await page.getByRole('navigation').getByRole('link', { name: 'Phone' }).click();
  await page.goBack();
  await expect(notes).toHaveValue('Written while it was down');
  await page.unroute(`**/api/calls/${sid}`);
  await page.getByRole('button', { name: 'Try again' }).click();
  await expect(page.getByText('Saved', { exact: true })).toBeVisible();
});

test('labels are added, link to the calls that have them, and are removed', async ({ page }) => {
  await open(page);
  await page.getByRole('textbox', { name: 'Add a label' }).fill('follow up');
  await page.keyboard.press('Enter');
  await page.getByRole('link', { name: 'follow up' }).click();
  await expect(page).toHaveURL('/calls?label=follow+up');
  await expect(page.getByRole('link', { name: 'Recorded customer' })).toBeVisible();
  await page.getByRole('textbox', { name: 'Label' }).fill('nobody has this');
  await expect(page.getByRole('heading', { name: 'No calls match' })).toBeVisible();
  await open(page);
  await page.getByRole('button', { name: 'Remove follow up' }).click();
  await expect(page.getByRole('link', { name: 'follow up' })).toHaveCount(0);
});

test('back and forward restore the filters', async ({ page }) => {
  await page.goto('/calls');
  await page.getByRole('button', { name: 'Filters' }).click();
  const direction = page.getByRole('combobox', { name: 'Direction' });
  const row = page.getByRole('link', { name: 'Recorded customer' });
  await direction.selectOption('Incoming');
  await expect(page.getByRole('heading', { name: 'No calls match' })).toBeVisible();
  await direction.selectOption('Outgoing');
  await row.click();
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Recorded customer');
  await page.goBack();
  await expect(direction).toHaveValue('outgoing');
  await expect(row).toBeVisible();
  await page.goBack();
  await expect(direction).toHaveValue('incoming');
  await expect(row).toHaveCount(0);
  await page.goForward();
  await expect(row).toBeVisible();
  await page.getByRole('button', { name: 'Clear all' }).click();
  await expect(page).toHaveURL('/calls');
  await expect(direction).toHaveValue('');
});

test('every export contains the words', async ({ page }) => {
  await open(page);
  for (const [format, ending, sign] of [
    ['Text', 'txt', 'Agent'],
    ['SubRip', 'srt', '-->'],
    ['WebVTT', 'vtt', 'WEBVTT'],
    ['JSON', 'json', '"words"'],
  ] as const) {
    const coming = page.waitForEvent('download');
    await page.getByRole('link', { name: `Download as ${format}` }).click();
    const download = await coming;
    expect(download.suggestedFilename()).toMatch(new RegExp(`^call-.*\\.${ending}$`));
    const text = readFileSync(await download.path(), 'utf8');
    expect(text).toContain(sign);
    expect(text).toContain('patience');
  }
  await page.getByRole('button', { name: 'Copy', exact: true }).click();
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  expect(copied).toMatch(/^\[0:\d\d\] You: /);
});

test('a call without audio has its transcript and a timeline', async ({ page }) => {
  await page.route(`**/api/calls/${sid}`, async (route) => {
    const answer = await route.fetch();
    await route.fulfill({
      response: answer,
      json: { ...(await answer.json()), hasAudio: false, transcript: 'interrupted' },
    });
  });
  await page.goto(`/calls/${sid}`);
  await expect(page.getByText('There is no audio of this call.')).toBeVisible();
  await expect(page.getByText('The transcript was interrupted')).toBeVisible();
  await expect(page.getByRole('button', { name: 'Play', exact: true })).toHaveCount(0);
  await word(page, 'understand').click();
  await expect(spoken(page, 'understand')).toBeVisible();
  await slider(page).focus();
  await page.keyboard.press('Home');
  await page.keyboard.press('.');
  await expect(spoken(page, (await firstWord(page)).text)).toBeVisible();
});

for (const colorScheme of ['light', 'dark'] as const)
  test(`nobody is kept out: ${colorScheme}`, async ({ page }) => {
    await page.emulateMedia({ colorScheme });
    const check = async () => {
      const { violations } = await new AxeBuilder({ page }).analyze();
      expect(violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)])).toEqual([]);
    };
    await page.goto('/calls?q=patience&direction=outgoing');
    await expect(page.locator('mark')).toBeVisible();
    await check();
    await open(page, '?t=7.3');
    await page.getByRole('textbox', { name: 'Find in transcript' }).fill('you');
    await page.getByText('How these are counted').click();
    await page.getByText('What happened').click();
    await check();
    await page.getByRole('button', { name: 'Delete', exact: true }).click();
    await check();
  });

test('everything works with the keyboard alone', async ({ page }) => {
  await page.goto('/calls');
  await expect(page.getByRole('link', { name: 'Recorded customer' })).toBeVisible();
  await page.keyboard.press('/');
  await page.keyboard.type('patience');
  await page.keyboard.press('Enter');
  const hit = page.getByRole('link', { name: /Thank you for your patience/ });
  await expect(hit).toBeVisible();
  await press(page, hit);
  await expect(spoken(page, 'Thank')).toBeVisible();
  await expect.poll(async () => (await sound(page)).readyState).toBeGreaterThan(0);
  await press(page, page.getByRole('button', { name: /^Play from 0:\d\d, You$/ }).nth(1));
  await expect.poll(async () => (await sound(page)).paused).toBe(false);
  await page.keyboard.press('k');
  await expect.poll(async () => (await sound(page)).paused).toBe(true);
  await tabTo(page, page.getByRole('textbox', { name: 'Notes' }));
  await page.keyboard.type(' by keyboard');
  await tabTo(page, page.getByRole('textbox', { name: 'Add a label' }));
  await page.keyboard.type('keys');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('link', { name: 'keys' })).toBeVisible();
  const coming = page.waitForEvent('download');
  await press(page, page.getByRole('link', { name: 'Download as WebVTT' }));
  expect((await coming).suggestedFilename()).toMatch(/\.vtt$/);
  await tabTo(page, slider(page));
  await page.keyboard.press('Home');
  await expect(slider(page)).toHaveAttribute('aria-valuetext', '0:00 of 0:42');
  await page.keyboard.press('ArrowRight');
  await expect(slider(page)).toHaveAttribute('aria-valuetext', '0:05 of 0:42');
});

test('a call is deleted only after confirmation', async ({ page }) => {
  await open(page);
  const remove = page.getByRole('button', { name: 'Delete', exact: true });
  await press(page, remove);
  const question = page.getByRole('dialog', { name: 'Delete this call?' });
  await expect(question).toContainText('the audio on this server');
  await page.keyboard.press('Escape');
  await expect(question).toHaveCount(0);
  await remove.click();
  await page.route(`**/api/calls/${sid}`, (route) =>
    route.request().method() === 'DELETE'
      ? route.fulfill({
          status: 502,
          json: { error: { code: 'twilio_down', message: 'Twilio said no.', requestId: 'x' } },
        })
      : route.fallback(),
  );
  await question.getByRole('button', { name: 'Delete permanently' }).click();
  await expect(question.getByRole('alert')).toHaveText('Twilio said no.');
  await page.unroute(`**/api/calls/${sid}`);
  await press(page, question.getByRole('button', { name: 'Delete permanently' }));
  await expect(page).toHaveURL('/calls');
  await expect(page.getByRole('heading', { name: 'No calls yet' })).toBeVisible();
  await page.goto(`/calls/${sid}`);
  await expect(page.getByRole('heading', { name: 'There is no such call' })).toBeVisible();
});
