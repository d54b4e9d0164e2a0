import { describe, expect, it } from 'vitest';
import { segment } from '../transcript/segmentFixture';
import { ANNOUNCEMENTS_MAX, newSegments } from './announcements';

const many = (count: number) => Array.from({ length: count }, (_, at) => segment(at));

describe('the segments to announce', () => {
  it('are none at first', () => {
    expect(newSegments(undefined, many(3))).toEqual([]);
  });

  it('are those that became final since, once', () => {
    expect(newSegments(many(3), many(5)).map(({ id }) => id)).toEqual(['s3', 's4']);
    expect(newSegments(many(5), many(5))).toEqual([]);
  });

  it('are only the latest after a gap', () => {
    const fresh = newSegments(many(3), many(500));
    expect(fresh).toHaveLength(ANNOUNCEMENTS_MAX);
    expect(fresh.at(-1)?.id).toBe('s499');
  });
});
