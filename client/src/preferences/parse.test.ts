import { expect, it } from 'vitest';
import { KEYWORDS_MAX, parsePreferences } from './parse';

it('uses the defaults for invalid values', () => {
  const fresh = parsePreferences({});
  expect(fresh).toMatchObject({ theme: 'system', announceWords: true, shortcuts: true });
  for (const nonsense of [null, 7, 'dark', [], { theme: 'pink', shortcuts: 'no', microphone: {} }])
    expect(parsePreferences(nonsense)).toEqual(fresh);
});

it('survives a round trip', () => {
  const chosen = {
    ...parsePreferences({}),
    theme: 'dark',
    textSize: 'larger',
    announceWords: false,
    keywords: ['invoice', 'call me back'],
    microphone: 'a1b2',
    openNoticeAway: true,
  };
  expect(parsePreferences(JSON.parse(JSON.stringify(chosen)))).toEqual(chosen);
});

it('trims, deduplicates and limits keywords', () => {
  const kept = (keywords: unknown) => parsePreferences({ keywords }).keywords;
  expect(kept(['  invoice ', 'Invoice', '', 'call\n me', 3, 'x'.repeat(65)])).toEqual([
    'invoice',
    'call me',
  ]);
  expect(kept(Array.from({ length: 99 }, (_, index) => `word ${index}`))).toHaveLength(
    KEYWORDS_MAX,
  );
});
