/**
 * An hour-long call at its busiest: 2,000 settled segments and ten partials a second, over the page's
 * own WebSocket. `npm run frames` prints how smooth that is; that only the partial is drawn is a
 * test, and needs no quiet machine.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { CallEvent, Segment, Speaker } from '../src/api/types';
import { standIn, transcriptOf } from './live';
import { expect, test } from './server';

// A trace takes a picture of the whole page at each step: that would be what is measured.
test.use({ trace: 'off' });

const CALL = `CA${'0'.repeat(31)}1`;
const SEGMENTS = 2_000;
const PARTIALS_PER_SECOND = 10;

/** How long the page is watched: `npm run frames` watches longer. */
const SECONDS = Number(process.env.FRAMES_SECONDS ?? 5);

/** Partials of an utterance before it settles. */
const REVISIONS = 25;

const WORDS =
  'the quick account number that you gave me yesterday was not found so we looked again and it is here now';

const speakerOf = (at: number): Speaker => (at % 3 ? 'customer' : 'agent');

function segmentOf(at: number): Segment {
  const startMs = at * 1_800;
  const words = WORDS.split(' ').slice(0, 5 + (at % 16));
  return {
    id: `s${at}`,
    track: speakerOf(at) === 'agent' ? 'inbound' : 'outbound',
    speaker: speakerOf(at),
    startMs,
    endMs: startMs + 1_500,
    text: words.join(' '),
    words: words.map((text, word) => ({
      text,
      startMs: startMs + word * 75,
      endMs: startMs + word * 75 + 70,
      confidence: 0.9,
    })),
    language: 'en',
    latencyMs: 400 + (at % 7) * 30,
    transcribed: true,
  };
}

function partialOf(at: number, revision: number): CallEvent & { type: 'partial' } {
  const { id, track, speaker, startMs } = segmentOf(at);
  const words = WORDS.split(' ').slice(0, 1 + (revision % 20));
  const stable = words.slice(0, -2).join(' ');
  const unstable = words.slice(-2).join(' ');
  return {
    callSid: CALL,
    offset: 0,
    type: 'partial',
    partial: { segmentId: id, revision, track, speaker, startMs, stable, unstable },
  };
}

/** What a newcomer hears in mid-call. */
const snapshot: CallEvent = {
  callSid: CALL,
  offset: 0,
  type: 'snapshot',
  epoch: 1,
  status: 'in-progress',
  recording: null,
  engine: 'ok',
  segments: Array.from({ length: SEGMENTS }, (_, at) => segmentOf(at)),
  partials: [],
  ended: null,
};

interface Figures {
  frames: number;
  seconds: number;
  longestFrameMs: number;
  longTasksMs: number[];
  /** From a key that is pressed to the frame that could show what it does. */
  inputsMs: number[];
  /** Nodes that changed outside of what is still spoken. */
  settledChanges: number;
}

declare global {
  interface Window {
    figures: Figures;
  }
}

/** Runs in the page: what this machine does at all, for two seconds. */
const framesPerSecond = () =>
  new Promise<number>((done) => {
    const begun = performance.now();
    let frames = 0;
    const frame = (now: number) => {
      frames += 1;
      if (now - begun < 2_000) requestAnimationFrame(frame);
      else done((frames * 1_000) / (now - begun));
    };
    requestAnimationFrame(frame);
  });

/** Runs in the page, from now on. */
function measure() {
  const figures: Figures = {
    frames: 0,
    seconds: 0,
    longestFrameMs: 0,
    longTasksMs: [],
    inputsMs: [],
    settledChanges: 0,
  };
  window.figures = figures;
  const begun = performance.now();
  let before = begun;
  const frame = (now: number) => {
    figures.frames += 1;
    figures.longestFrameMs = Math.max(figures.longestFrameMs, now - before);
    figures.seconds = (now - begun) / 1_000;
    before = now;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
  new PerformanceObserver((list) => {
    for (const task of list.getEntries()) figures.longTasksMs.push(task.duration);
  }).observe({ type: 'longtask' });
  window.addEventListener('keydown', ({ timeStamp }) => {
    requestAnimationFrame(() => figures.inputsMs.push(performance.now() - timeStamp));
  });
  const settled = new Set(document.querySelectorAll('[data-state="settled"]'));
  const isSettled = (node: Node) => {
    const element = node instanceof Element ? node : node.parentElement;
    const line = element?.closest('[data-segment]');
    return line != null && settled.has(line);
  };
  new MutationObserver((changes) => {
    for (const { target, type, attributeName, removedNodes } of changes) {
      // Which button Tab goes to is no change of words.
      if (type === 'attributes' && attributeName === 'tabindex') continue;
      const gone = [...removedNodes].some((node) => settled.has(node as Element));
      if (gone || isSettled(target)) figures.settledChanges += 1;
    }
  }).observe(document.body, {
    subtree: true,
    childList: true,
    characterData: true,
    attributes: true,
  });
}

test('ten partials a second leave 2,000 settled segments alone', async ({ page }) => {
  test.setTimeout(60_000 + SECONDS * 2_000);
  const server = await standIn(page, snapshot);
  const begun = Date.now();
  await page.goto(`/calls/${CALL}/live`);
  const settled = transcriptOf(page).locator('[data-state="settled"]');
  await expect(settled).toHaveCount(SEGMENTS);
  const shownMs = Date.now() - begun;
  const idle = await page.evaluate(framesPerSecond);
  await page.evaluate(measure);

  const partials = SECONDS * PARTIALS_PER_SECOND;
  let utterance = SEGMENTS;
  let offset = 0;
  const next = (event: CallEvent): CallEvent => {
    offset += 1;
    return { ...event, offset };
  };
  const startedAt = Date.now();
  for (let at = 0; at < partials; at++) {
    const revision = 1 + (at % REVISIONS);
    server.tell(next(partialOf(utterance, revision)));
    if (revision === REVISIONS) {
      server.tell(
        next({ callSid: CALL, offset: 0, type: 'segment', segment: segmentOf(utterance) }),
      );
      utterance += 1;
    }
    // Nothing is waited for here: this is the pace of the partials. Someone uses the page meanwhile.
    if (at % 10 === 5) void page.keyboard.press('Shift');
    await pause(startedAt + (at + 1) * (1_000 / PARTIALS_PER_SECOND) - Date.now());
  }

  await expect(settled).toHaveCount(utterance);
  const figures = await page.evaluate(() => window.figures);
  const most = (values: number[]) => Math.round(Math.max(0, ...values));
  console.log(
    [
      `${SEGMENTS} settled segments, ${PARTIALS_PER_SECOND} partials/s for ${SECONDS} s`,
      `shown ${shownMs} ms after the address was entered`,
      `${(figures.frames / figures.seconds).toFixed(1)} frames/s, longest ${Math.round(figures.longestFrameMs)} ms; without partials ${idle.toFixed(1)}`,
      `${figures.longTasksMs.length} long tasks, longest ${most(figures.longTasksMs)} ms`,
      `slowest of ${figures.inputsMs.length} keys ${most(figures.inputsMs)} ms to the next frame`,
    ].join('\n'),
  );
  expect(figures.inputsMs.length).toBeGreaterThan(0);
  expect(figures.settledChanges).toBe(0);
  await expect(transcriptOf(page).locator('[data-segment]').last()).toBeInViewport();
});
