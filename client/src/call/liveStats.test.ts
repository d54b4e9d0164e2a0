import { describe, expect, it } from 'vitest';
import { withPartial, withSegment } from '../live/lines';
import { segment } from '../transcript/segmentFixture';
import { countLines, countWords, finalSegments, LAG_FINALS, lagMsOf, secondsOf } from './liveStats';

describe('the delay', () => {
  it('is unknown before the first final, and ignores missing words', () => {
    expect(lagMsOf([])).toBeUndefined();
    expect(lagMsOf([segment(0, { transcribed: false, latencyMs: 9_000 })])).toBeUndefined();
  });

  it('is the median of the last finals', () => {
    const old = Array.from({ length: 50 }, (_, at) => segment(at, { latencyMs: 8_000 }));
    const recent = Array.from({ length: LAG_FINALS }, (_, at) => segment(at, { latencyMs: 400 }));
    expect(lagMsOf([...old, ...recent])).toBe(400);
    expect(lagMsOf([...old, ...recent, segment(99, { latencyMs: 9_000 })])).toBe(400);
  });

  it('is formatted in seconds', () => {
    expect([0, 449, 9_940, 12_345].map(secondsOf)).toEqual(['0.0', '0.4', '9.9', '12']);
  });
});

it('counts the shown lines and their words', () => {
  const silent = segment(1, { text: '' });
  const missing = segment(2, { text: '', transcribed: false, speaker: 'customer' });
  expect(countLines([segment(0), silent, missing])).toBe(2);
  expect(countWords([segment(0), silent, segment(3, { text: " it's  three words " })])).toBe(5);
});

it('does not count the words of an echo', () => {
  const echo = segment(1, { text: 'three words here', speaker: 'customer', echo: true });
  expect(countWords([segment(0), echo])).toBe(2);
});

it('lists the final segments that are shown, in page order', () => {
  const silent = segment(1, { text: '' });
  const lines = withPartial([segment(2), segment(0), silent].reduce(withSegment, []), {
    segmentId: 's9',
    revision: 1,
    track: 'inbound',
    speaker: 'agent',
    startMs: 9_000,
    stable: 'not',
    unstable: 'yet',
  });
  expect(finalSegments(lines).map(({ id }) => id)).toEqual(['s0', 's2']);
});
