import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { CallEvent } from '../api/types';
import { fold, type LiveCall } from './call';
import { isShown } from './lines';

const STORIES = join(import.meta.dirname, '../../../fixtures/live');

const told = (file: string): CallEvent[] =>
  readFileSync(join(STORIES, file), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

const page = (events: CallEvent[]) =>
  events.reduce<LiveCall | undefined>((call, event) => fold(call, event), undefined);

/** The shown lines, without those that are gone. */
const shownOf = (call: LiveCall | undefined) =>
  call?.lines.flat().filter((line) => line.kind !== 'gone');

const stories = readdirSync(STORIES)
  .filter((file) => file.endsWith('.jsonl') && !file.endsWith('.end.jsonl'))
  .map((file) => file.replace('.jsonl', ''));

describe('the fixtures of the server', () => {
  it('exist', () => expect(stories.length).toBeGreaterThanOrEqual(10));

  it.each(stories)('%s ends as a newcomer would see it', (story) => {
    const heard = page(told(`${story}.jsonl`));
    const newcomer = page(told(`${story}.end.jsonl`));
    expect({ ...heard, partialsMissed: 0, lines: [] }).toEqual({ ...newcomer, lines: [] });
    expect(shownOf(heard)).toEqual(shownOf(newcomer));
  });

  it.each(stories)('%s never changes or takes back a settled segment', (story) => {
    const seen = new Map<string, string>();
    let call: LiveCall | undefined;
    for (const event of told(`${story}.jsonl`)) {
      call = fold(call, event);
      const now = new Map(call?.segments.map((segment) => [segment.id, JSON.stringify(segment)]));
      for (const [id, words] of seen) expect(now.get(id)).toBe(words);
      for (const [id, words] of now) seen.set(id, words);
      for (const partial of call?.partials ?? []) expect(now.has(partial.segmentId)).toBe(false);
    }
  });

  it('counts the partials that a slow page missed', () => {
    expect(page(told('slow-listener.jsonl'))?.partialsMissed).toBeGreaterThan(0);
  });

  it('shows missing words, and nothing for empty segments', () => {
    const shown = (story: string) => page(told(`${story}.jsonl`))?.segments.filter(isShown);
    expect(shown('degraded-engine')?.some((segment) => !segment.transcribed)).toBe(true);
    expect(shown('nothing-said-after-all')?.some((segment) => segment.text === '')).toBe(false);
  });
});

it('knows which speakers seem to speak another language', () => {
  const call = page(told('another-language.jsonl'));
  expect(call?.doubts).toEqual([{ speaker: 'customer', expected: 'en' }]);
});

it('marks an echo from its first event on', () => {
  let call: LiveCall | undefined;
  const isTold: boolean[] = [];
  for (const event of told('echo-of-the-other-party.jsonl')) {
    call = fold(call, event);
    isTold.push([...(call?.partials ?? []), ...(call?.segments ?? [])].some(({ echo }) => echo));
  }
  expect(isTold.indexOf(true)).toBeGreaterThan(0);
  expect(isTold.lastIndexOf(false)).toBe(isTold.indexOf(true) - 1);
});

it('has no call before its snapshot', () => {
  const [, event] = told('normal-call.jsonl');
  expect(event && fold(undefined, event)).toBeUndefined();
});
