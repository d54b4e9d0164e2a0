import type { Page } from '@playwright/test';
import { restingScrollTop, shownWords, simulate, transcriptOf, wordsOf } from './live';
import { expect, test } from './server';

// A small height, so that the transcript is longer than the view.
test.use({ viewport: { width: 1280, height: 340 } });

/** Records violations of what must hold for the words on the page. */
interface Watch {
  complaints: string[];
  /** Lines that were seen as partials and then became final. */
  settledInPlace: number;
  /** The number of changes of partials. */
  changes: number;
}

declare global {
  interface Window {
    watch: Watch;
  }
}

/** Runs in the page. */
function watchLines() {
  const watch: Watch = { complaints: [], settledInPlace: 0, changes: 0 };
  window.watch = watch;
  const nodes = new Map<string, Element>();
  const open = new Map<string, string>();
  const settled = new Map<string, string>();
  let order: string[] = [];
  const look = () => {
    const lines = [...document.querySelectorAll<HTMLElement>('[data-segment]')];
    for (const line of lines) {
      const id = line.dataset.segment ?? '';
      const text = line.querySelector('p:last-child')?.textContent ?? '';
      if ((nodes.get(id) ?? line) !== line) watch.complaints.push(`${id} is another node`);
      nodes.set(id, line);
      if (line.dataset.state === 'open') {
        if (settled.has(id)) watch.complaints.push(`${id} is open again`);
        if (open.get(id) !== text) watch.changes += 1;
        open.set(id, text);
      } else {
        if ((settled.get(id) ?? text) !== text) watch.complaints.push(`${id} changed`);
        if (!settled.has(id) && open.has(id)) watch.settledInPlace += 1;
        settled.set(id, text);
      }
    }
    const now = lines
      .filter(({ dataset }) => dataset.state === 'settled')
      .map(({ dataset }) => dataset.segment ?? '');
    if (now.filter((id) => order.includes(id)).join() !== order.join())
      watch.complaints.push(`${order} became ${now}`);
    order = now;
  };
  new MutationObserver(look).observe(document.body, {
    subtree: true,
    childList: true,
    characterData: true,
    attributes: true,
    attributeFilter: ['data-state'],
  });
}

/** Reads, at one moment, how many segments the button calls new, and how many are final. */
const freshAndFinal = (page: Page) =>
  page.evaluate(() => {
    const labels = [...document.querySelectorAll('button')].map((button) => button.textContent);
    const label = labels.find((text) => text?.includes('Jump to live')) ?? '';
    return {
      fresh: Number(/\((\d+) new\)/.exec(label)?.[1] ?? 0),
      final: document.querySelectorAll('[data-state="settled"]').length,
    };
  });

test('words become final in place, and none is missing', async ({ page }) => {
  await page.addInitScript(() =>
    localStorage.setItem('callburner.preferences', JSON.stringify({ keywords: ['young man'] })),
  );
  const callSid = await simulate(page);
  await page.goto(`/calls/${callSid}/live`);
  await expect(page.getByRole('heading', { level: 1 })).toHaveText('Recorded customer');
  await page.evaluate(watchLines);
  const transcript = transcriptOf(page);
  const settled = transcript.locator('[data-state="settled"]');
  const below = () =>
    transcript.evaluate((view) => view.scrollHeight - view.clientHeight - view.scrollTop);
  const jump = page.getByRole('button', { name: /^Jump to live/ });

  await test.step('partials come before finals', async () => {
    // A busy machine skips partials: the call has many utterances, one of which has some.
    const open = transcript.locator('[data-state="open"]').first();
    await expect(open).toBeVisible({ timeout: 40_000 });
    await expect(settled.first()).toBeVisible({ timeout: 40_000 });
    await expect(page.getByRole('button', { name: /^Record/ })).toHaveCount(0);
  });

  await test.step('whoever is at the end stays there', async () => {
    await expect
      .poll(() => transcript.evaluate((view) => view.scrollHeight - view.clientHeight))
      .toBeGreaterThan(100);
    await expect.poll(below).toBeLessThanOrEqual(2);
    await expect(jump).toHaveCount(0);
  });

  await test.step('whoever reads above is left alone, and told how much is new', async () => {
    await transcript.hover();
    await page.mouse.wheel(0, -90);
    await expect(jump).toBeVisible();
    const before = await restingScrollTop(transcript);
    const seen = await freshAndFinal(page);
    await expect.poll(async () => (await freshAndFinal(page)).fresh).toBeGreaterThan(seen.fresh);
    const now = await freshAndFinal(page);
    expect(now.fresh - seen.fresh).toBe(now.final - seen.final);
    expect(await transcript.evaluate((view) => view.scrollTop)).toBe(before);
    await jump.click();
    await expect.poll(below).toBeLessThanOrEqual(2);
    await expect(jump).toHaveCount(0);
  });

  await test.step('a selection survives new words', async () => {
    await settled.first().locator('p').last().click({ clickCount: 3 });
    const selected = await page.evaluate(() => String(window.getSelection()));
    expect(selected.length).toBeGreaterThan(3);
    const count = await settled.count();
    await expect.poll(() => settled.count()).toBeGreaterThan(count);
    expect(await page.evaluate(() => String(window.getSelection()))).toBe(selected);
  });

  await test.step('the end is told, with the way to the call', async () => {
    await expect(page.getByRole('status').filter({ hasText: 'Call ended' })).toBeVisible({
      timeout: 60_000,
    });
    await expect(page.getByRole('link', { name: 'Open this call' })).toHaveAttribute(
      'href',
      `/calls/${callSid}`,
    );
  });

  await test.step('nothing is missing, and nothing moved', async () => {
    const kept = await wordsOf(page, callSid);
    expect(kept.length).toBeGreaterThan(5);
    await expect.poll(async () => (await shownWords(page)).sort()).toEqual([...kept].sort());
    const watch = await page.evaluate(() => window.watch);
    expect(watch.complaints).toEqual([]);
    // How many partials there are depends on the machine's speed; that there are some does not.
    expect(watch.settledInPlace).toBeGreaterThan(0);
    expect(watch.changes).toBeGreaterThan(0);
  });

  await test.step('keywords are marked and counted', async () => {
    await expect(transcript.locator('mark').first()).toHaveText(/young man/i);
    const marks = await transcript.locator('mark').count();
    await expect(page.getByRole('list', { name: 'Keywords' })).toHaveText(`young man ×${marks}`);
  });

  await test.step('all of it, or one line, is copied', async () => {
    const pasted = () => page.evaluate(() => navigator.clipboard.readText());
    const shown = await shownWords(page);
    await page.getByRole('button', { name: 'Copy all' }).click();
    await expect.poll(async () => (await pasted()).split('\n').length).toBe(shown.length);
    expect(await pasted()).toMatch(/^\[0:\d\d\] (You|Recorded customer): /);
    // With the keyboard: Tab reaches the latest line, and the arrow keys move up from it.
    await transcript.focus();
    await page.keyboard.press('Tab');
    await page.keyboard.press('ArrowUp');
    await page.keyboard.press('Enter');
    await expect.poll(pasted).toBe(shown.at(-2));
  });

  await test.step('keywords are marked on its page, too', async () => {
    await page.getByRole('link', { name: 'Open this call' }).click();
    const marks = page.getByRole('list', { name: 'Transcript' }).locator('mark');
    await expect(marks).toHaveText([/^young$/i, /^man\W*$/i]);
  });
});
