import { expect, it } from 'vitest';
import { addLabel, LABEL_BYTES_MAX, LABELS_MAX } from './labelLimits';

it('adds a trimmed label', () => {
  expect(addLabel(['a'], '  two words ')).toEqual(['a', 'two words']);
  expect(addLabel(['a'], '   ')).toBe(null);
});

it('reports what the server would refuse', () => {
  expect(addLabel(['a'], 'a')).toBe('twice');
  expect(addLabel(Array.from({ length: LABELS_MAX }, String), 'x')).toBe('tooMany');
  expect(addLabel([], 'x'.repeat(LABEL_BYTES_MAX))).toHaveLength(1);
  // The limit counts bytes: each of these has two.
  expect(addLabel([], 'é'.repeat(LABEL_BYTES_MAX))).toBe('tooLong');
});
