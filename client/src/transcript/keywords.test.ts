import { expect, it } from 'vitest';
import { countKeywords, markerOf, wordsMarked } from './keywords';

const marked = (keywords: string[], text: string) =>
  markerOf(keywords)?.(text).map(({ text, keyword }) => (keyword === null ? text : `[${text}]`));

it('has no marker without keywords', () => {
  expect(markerOf([])).toBeUndefined();
});

it('marks whole words in any case, and keeps all characters', () => {
  const text = 'Refund? A refund, not refunds. REFUND';
  expect(marked(['refund'], text)).toEqual([
    '[Refund]',
    '? A ',
    '[refund]',
    ', not refunds. ',
    '[REFUND]',
  ]);
});

it('prefers the longer of two keywords', () => {
  expect(marked(['credit', 'credit card'], 'my credit card, my credit')).toEqual([
    'my ',
    '[credit card]',
    ', my ',
    '[credit]',
  ]);
});

it('takes punctuation in keywords literally', () => {
  expect(marked(['c++', '24/7 (US)', '.'], 'C++ 24/7 (us) axb')).toEqual([
    '[C++]',
    ' ',
    '[24/7 (us)]',
    ' axb',
  ]);
});

it('supports other alphabets', () => {
  expect(marked(['счёт'], 'Счёт, счёта')).toEqual(['[Счёт]', ', счёта']);
});

it('counts each keyword as entered, in the order of the list', () => {
  const keywords = ['Card', 'refund', 'never'];
  const marker = markerOf(keywords);
  if (!marker) throw new Error('there are keywords');
  expect(countKeywords(keywords, marker, ['a refund', 'card CARD', 'Refund'])).toEqual([
    { keyword: 'Card', times: 2 },
    { keyword: 'refund', times: 2 },
  ]);
});

it('marks each word of a keyword, and no other word', () => {
  const marker = markerOf(['young man', 'invoice']);
  if (!marker) throw new Error('there are keywords');
  expect(wordsMarked(['A', 'young', 'man,', 'no', 'man'], marker)).toEqual([
    false,
    true,
    true,
    false,
    false,
  ]);
  expect(wordsMarked([], marker)).toEqual([]);
});
