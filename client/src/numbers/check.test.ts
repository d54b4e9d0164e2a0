import * as library from 'libphonenumber-js/min';
import { describe, expect, it } from 'vitest';
import { asTyped, check } from './check';

describe('a number', () => {
  it.each([
    ['(415) 555-2671', 'US', '+14155552671'],
    ['020 7946 0958', 'GB', '+442079460958'],
    ['+44 20 7946 0958', 'US', '+442079460958'],
    ['011 44 20 7946 0958', 'US', '+442079460958'],
    ['1-800-FLOWERS', 'US', '+18003569377'],
    ['tel:+4930123456', 'US', '+4930123456'],
  ] as const)('%s in %s is %s', (text, country, e164) =>
    expect(check(library, text, country)).toMatchObject({ kind: 'callable', e164 }),
  );

  it.each([
    ['', 'US', 'empty'],
    ['+', 'US', 'empty'],
    ['4', 'US', 'too-short'],
    ['+1415', 'US', 'too-short'],
    ['+1415555267112345', 'US', 'too-long'],
    ['+999 123 456', 'US', 'unknown-country'],
    ['+1 111 111 1111', 'US', 'unused'],
    ['911', 'GB', 'emergency'],
    ['112', 'US', 'emergency'],
    ['17', 'FR', 'emergency'],
  ] as const)('%s in %s is %s', (text, country, kind) =>
    expect(check(library, text, country).kind).toBe(kind),
  );
});

it('is written as its country writes it while it is typed', () => {
  expect(asTyped(library, '4155', 'US')).toBe('(415) 5');
  expect(asTyped(library, '+4420794', 'US')).toBe('+44 20 794');
  expect(asTyped(library, '*21#', 'US')).toBe('*21#');
});
