import { expect, it } from 'vitest';
import { sentence } from './sentence';

it('turns log lines into sentences, and keeps sentences', () => {
  expect(sentence('the link is too old: restart')).toBe('The link is too old: restart.');
  expect(sentence('Wait…')).toBe('Wait…');
  expect(sentence('')).toBe('');
});
