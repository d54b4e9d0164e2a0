import { describe, expect, it } from 'vitest';
import type { EndReason, RecordingStatus, Segment } from '../api/types';
import { fold, type LiveCall } from '../live/call';
import { withPartial, withSegment } from '../live/lines';
import {
  asText,
  countShown,
  countWords,
  LAG_FINALS,
  lagMsOf,
  secondsOf,
  settledIn,
} from './figures';
import { commandsOf } from './recording';
import { freshOf, SPOKEN_MAX } from './spoken';
import { troubleOf } from './trouble';

const segment = (at: number, more: Partial<Segment> = {}): Segment => ({
  id: `s${at}`,
  track: 'inbound',
  speaker: 'agent',
  startMs: at * 1_000,
  endMs: at * 1_000 + 900,
  text: `words ${at}`,
  words: [],
  language: 'en',
  latencyMs: 500,
  transcribed: true,
  ...more,
});
const many = (count: number) => Array.from({ length: count }, (_, at) => segment(at));

describe('the lag', () => {
  it('is not known before the first final, nor from one whose words are missing', () => {
    expect(lagMsOf([])).toBeUndefined();
    expect(lagMsOf([segment(0, { transcribed: false, latencyMs: 9_000 })])).toBeUndefined();
  });

  it('is that of the last finals, and one slow one does not count', () => {
    const old = Array.from({ length: 50 }, (_, at) => segment(at, { latencyMs: 8_000 }));
    const recent = Array.from({ length: LAG_FINALS }, (_, at) => segment(at, { latencyMs: 400 }));
    expect(lagMsOf([...old, ...recent])).toBe(400);
    expect(lagMsOf([...old, ...recent, segment(99, { latencyMs: 9_000 })])).toBe(400);
  });

  it('is told in seconds', () => {
    expect([0, 449, 9_940, 12_345].map(secondsOf)).toEqual(['0.0', '0.4', '9.9', '12']);
  });
});

describe('what is counted and copied', () => {
  const quiet = segment(1, { text: '' });
  const missing = segment(2, { text: '', transcribed: false, speaker: 'customer' });

  it('leaves out what is not shown', () => {
    expect(countShown([segment(0), quiet, missing])).toBe(2);
    expect(countWords([segment(0), quiet, segment(3, { text: " it's  three words " })])).toBe(5);
  });

  it('counts the words of an echo where they were said, and says that it is one', () => {
    const echo = segment(1, { text: 'three words here', speaker: 'customer', echo: true });
    expect(countWords([segment(0), echo])).toBe(2);
    const names = { agent: 'You', customer: 'Ada' };
    expect(asText([echo], names)).toBe('[0:01] Ada (echo): three words here');
  });

  it('is what stands on the page, without what is still spoken', () => {
    const settled = [segment(0), quiet, missing].reduce(withSegment, []);
    const cut = segment(4, { text: 'half of', transcribed: false });
    expect(asText([cut], { agent: 'You', customer: 'Anna' })).toMatch(/ half of Words are missing/);
    const lines = withPartial(settled, {
      segmentId: 's9',
      revision: 1,
      track: 'inbound',
      speaker: 'agent',
      startMs: 9_000,
      stable: 'not',
      unstable: 'yet',
    });
    expect(asText(settledIn(lines), { agent: 'You', customer: 'Anna' })).toBe(
      '[0:00] You: words 0\n' +
        '[0:02] Anna: Words are missing here: the server had too much to write down.',
    );
  });
});

describe('what is read aloud', () => {
  it('is nothing of what was there when one came', () => {
    expect(freshOf(undefined, many(3))).toEqual([]);
  });

  it('is what settled since, once', () => {
    expect(freshOf(many(3), many(5)).map(({ id }) => id)).toEqual(['s3', 's4']);
    expect(freshOf(many(5), many(5))).toEqual([]);
  });

  it('is no more than the latest after a drop', () => {
    const fresh = freshOf(many(3), many(500));
    expect(fresh).toHaveLength(SPOKEN_MAX);
    expect(fresh.at(-1)?.id).toBe('s499');
  });
});

describe('the recording', () => {
  it.each<[RecordingStatus | null, string]>([
    [null, 'start'],
    ['in-progress', 'pause stop'],
    ['paused', 'resume stop'],
    ['stopped', 'start'],
    ['completed', 'start'],
    ['absent', 'start'],
    ['failed', 'start'],
  ])('that is %s can be told to %s', (status, commands) => {
    expect(commandsOf(status).join(' ')).toBe(commands);
  });
});

describe('trouble', () => {
  const call = fold(undefined, {
    callSid: 'CA1',
    offset: 0,
    type: 'snapshot',
    epoch: 1,
    engine: 'ok',
    segments: [],
    partials: [],
  });
  if (!call) throw new Error('a snapshot makes a call');
  const withIt = (more: Partial<LiveCall>): LiveCall => ({ ...call, ...more });
  const ended = (reason: EndReason) => withIt({ ended: reason });

  it('is none when all is well, or when one has just come', () => {
    expect(troubleOf(call, 'open')).toBeUndefined();
    expect(troubleOf(undefined, 'connecting')).toBeUndefined();
  });

  it('is the line before the engine, until the words have ended', () => {
    const late = withIt({ engine: 'behind', lagMs: 4_200 });
    expect(troubleOf(late, 'open')?.text).toContain('4.2 s');
    for (const link of ['waiting', 'connecting'] as const)
      expect(troubleOf(late, link)?.text).toContain('catching up');
    expect(troubleOf(undefined, 'waiting')?.text).toContain('catching up');
    expect(troubleOf(ended('stopped'), 'waiting')).toBeUndefined();
  });

  it('is a loss where words are missing', () => {
    expect(troubleOf(withIt({ engine: 'degraded' }), 'open')?.isLoss).toBe(true);
    expect(troubleOf(withIt({ engine: 'behind' }), 'open')?.isLoss).toBe(false);
    expect(troubleOf(call, 'signed-out')?.isLoss).toBe(true);
  });

  it('is another language than is written down, once the server keeps up', () => {
    const doubts = (['agent', 'customer'] as const).map((speaker) => ({ speaker, expected: 'en' }));
    const foreign = withIt({ doubts: doubts.slice(1) });
    expect(troubleOf(foreign, 'open')).toEqual({
      text: expect.stringMatching(/other party seems to speak another language.*English/),
      isLoss: true,
    });
    expect(troubleOf(withIt({ doubts }), 'open')?.text).toContain('Both sides');
    const late = { ...foreign, engine: 'behind' } as const;
    expect(troubleOf(late, 'open')?.text).toContain('behind');
  });

  it('is an end that nobody wanted', () => {
    const reasons: EndReason[] = ['stopped', 'never-started', 'dropped', 'idle', 'shutting-down'];
    expect(reasons.map((reason) => troubleOf(ended(reason), 'open')?.isLoss)).toEqual([
      undefined,
      undefined,
      true,
      true,
      true,
    ]);
  });
});
