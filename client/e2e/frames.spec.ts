/**
 * The frame rate of a long and busy call: 2,000 final segments and ten partials a second over the
 * WebSocket of the page. `npm run frames` prints it. The test checks that partials do not render the
 * final segments again, which does not depend on the speed of the machine.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { CallEvent, Segment, Speaker } from '../src/api/types';
import { mockChannel, transcriptOf } from './live';
import { expect, test } from './server';

// A trace takes a snapshot of the page at each step, which would distort the measurement.
test.use({ trace: 'off' });

const CALL = `CA${'0'.repeat(31)}1`;
const SEGMENTS = 2_000;
const PARTIALS_PER_SECOND = 10;

/** The duration of the measurement; `npm run frames` sets a longer one. */
const SECONDS = Number(process.env.FRAMES_SECONDS ?? 5);

/** The number of partials before a final. */
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

/** The snapshot of a call in progress. */
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

interface Measurement {
  frames: number;
  seconds: number;
  longestFrameMs: number;
  longTasksMs: number[];
  /** The time from each key press to the next frame. */
  inputsMs: number[];
  /** The number of changes to final segments. */
  finalChanges: number;
}

declare global {
  interface Window {
    measurement: Measurement;
  }
}

/** Runs in the page: measures the idle frame rate for two seconds. */
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

/** Runs in the page: measures until the test ends. */
function measure() {
  const measurement: Measurement = {
    frames: 0,
    seconds: 0,
    longestFrameMs: 0,
    longTasksMs: [],
    inputsMs: [],
    finalChanges: 0,
  };
  window.measurement = measurement;
  const begun = performance.now();
  let before = begun;
  const frame = (now: number) => {
    measurement.frames += 1;
    measurement.longestFrameMs = Math.max(measurement.longestFrameMs, now - before);
    measurement.seconds = (now - begun) / 1_000;
    before = now;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
  new PerformanceObserver((list) => {
    for (const task of list.getEntries()) measurement.longTasksMs.push(task.duration);
  }).observe({ type: 'longtask' });
  window.addEventListener('keydown', ({ timeStamp }) => {
    requestAnimationFrame(() => measurement.inputsMs.push(performance.now() - timeStamp));
  });
  const settled = new Set(document.querySelectorAll('[data-state="settled"]'));
  const isSettled = (node: Node) => {
    const element = node instanceof Element ? node : node.parentElement;
    const line = element?.closest('[data-segment]');
    return line != null && settled.has(line);
  };
  new MutationObserver((changes) => {
    for (const { target, type, attributeName, removedNodes } of changes) {
      // A change of the tab order is not a change of the text.
      if (type === 'attributes' && attributeName === 'tabindex') continue;
      const gone = [...removedNodes].some((node) => settled.has(node as Element));
      if (gone || isSettled(target)) measurement.finalChanges += 1;
    }
  }).observe(document.body, {
    subtree: true,
    childList: true,
    characterData: true,
    attributes: true,
  });
}

test('ten partials a second do not render 2,000 final segments again', async ({ page }) => {
  test.setTimeout(60_000 + SECONDS * 2_000);
  const server = await mockChannel(page, snapshot);
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
    server.send(next(partialOf(utterance, revision)));
    if (revision === REVISIONS) {
      server.send(
        next({ callSid: CALL, offset: 0, type: 'segment', segment: segmentOf(utterance) }),
      );
      utterance += 1;
    }
    // Not awaited, so that the partials keep their pace while the user presses keys.
    if (at % 10 === 5) void page.keyboard.press('Shift');
    await pause(startedAt + (at + 1) * (1_000 / PARTIALS_PER_SECOND) - Date.now());
  }

  await expect(settled).toHaveCount(utterance);
  const measurement = await page.evaluate(() => window.measurement);
  const most = (values: number[]) => Math.round(Math.max(0, ...values));
  console.log(
    [
      `${SEGMENTS} settled segments, ${PARTIALS_PER_SECOND} partials/s for ${SECONDS} s`,
      `shown ${shownMs} ms after the address was entered`,
      `${(measurement.frames / measurement.seconds).toFixed(1)} frames/s, longest ${Math.round(measurement.longestFrameMs)} ms; without partials ${idle.toFixed(1)}`,
      `${measurement.longTasksMs.length} long tasks, longest ${most(measurement.longTasksMs)} ms`,
      `slowest of ${measurement.inputsMs.length} keys ${most(measurement.inputsMs)} ms to the next frame`,
    ].join('\n'),
  );
  expect(measurement.inputsMs.length).toBeGreaterThan(0);
  expect(measurement.finalChanges).toBe(0);
  await expect(transcriptOf(page).locator('[data-segment]').last()).toBeInViewport();
});
