import { describe, expect, it } from 'vitest';
import { boxesOf, shareOf, WIDTH } from './timelineGeometry';

describe('the timeline', () => {
  it('covers exactly the whole call', () => {
    expect([shareOf(0, 10), shareOf(5, 10), shareOf(99, 10), shareOf(-1, 10)]).toEqual([
      0, 0.5, 1, 0,
    ]);
    expect(shareOf(5, 0)).toBe(0);
  });

  it('draws speech at its position', () => {
    expect(boxesOf([{ startMs: 2_500, endMs: 5_000 }], 10_000)).toEqual([{ x: 250, width: 250 }]);
  });

  it('shows every short word of a long call, disjoint and within bounds', () => {
    const spans = Array.from({ length: 400 }, (_, at) => ({
      startMs: at * 9_000,
      endMs: at * 9_000 + 1,
    }));
    const boxes = boxesOf(spans, 3_600_000);
    expect(boxes).toHaveLength(400);
    boxes.forEach(({ x, width }, at) => {
      expect(width).toBeGreaterThan(0);
      expect(x + width).toBeLessThanOrEqual(boxes[at + 1]?.x ?? WIDTH);
    });
  });

  it('stays within bounds for speech at the very end', () => {
    expect(boxesOf([{ startMs: 10_000, endMs: 10_000 }], 10_000)).toEqual([]);
    const [box] = boxesOf([{ startMs: 9_999, endMs: 12_000 }], 10_000);
    expect((box?.x ?? 0) + (box?.width ?? 0)).toBeLessThanOrEqual(WIDTH);
  });
});
