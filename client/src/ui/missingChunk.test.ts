import { expect, it } from 'vitest';
import { isMissingChunk } from './missingChunk';

it('tells a missing chunk from other errors', () => {
  for (const words of [
    'Failed to fetch dynamically imported module: https://calls.example/assets/CallScreen-x.js',
    'error loading dynamically imported module: https://calls.example/assets/CallScreen-x.js',
    'Importing a module script failed.',
    'Unable to preload CSS for /assets/CallScreen-x.css',
  ])
    expect(isMissingChunk(new TypeError(words))).toBe(true);
  expect(isMissingChunk(new TypeError('undefined is not a function'))).toBe(false);
  expect(isMissingChunk('Failed to fetch')).toBe(false);
});
