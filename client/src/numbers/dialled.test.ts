import { expect, it } from 'vitest';
import { dialled, looksDialled } from './dialled';

it.each([
  ['(415) 555-2671', '4155552671'],
  ['+1 415 555 2671', '+14155552671'],
  ['tel:+1-415-555-2671', '+14155552671'],
  ['tel:+1-415-555-2671;ext=12', '+14155552671'],
  ['web+tel:%2B442079460000', '+442079460000'],
  ['web+tel://+442079460000', '+442079460000'],
  ['020\u00a07946\u00a00000', '02079460000'],
  ['\u202a+44 20 7946 0000\u202c', '+442079460000'],
  ['４１５ ５５５ ２６７１', '4155552671'],
  ['＋８１ ３', '+813'],
  ['٠٢٠ ١٢٣', '020123'],
  ['1-800-FLOWERS', '18003569377'],
  ['415 555 2671 ext. 12', '4155552671'],
  ['415 555 2671 x12', '4155552671'],
  ['*21#', '*21#'],
  ['call me', ''],
  ['tel:%', ''],
  ['', ''],
])('%s is dialled as %s', (text, digits) => expect(dialled(text)).toBe(digits));

it('takes a text for a number only as a whole', () => {
  for (const text of ['(415) 555-2671', 'tel:+14155552671', '1-800-FLOWERS', ' +44 20 7946 0000 '])
    expect(looksDialled(text)).toBe(true);
  for (const text of ['call 415 555 2671 at noon', 'hello', '', '()'])
    expect(looksDialled(text)).toBe(false);
});
