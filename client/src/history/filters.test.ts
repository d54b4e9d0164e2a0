import { describe, expect, it } from 'vitest';
import {
  countFilters,
  type Filters,
  NO_FILTERS,
  readFilters,
  toQuery,
  writeFilters,
} from './filters';

const ALL: Filters = {
  q: 'refund & "late"',
  direction: 'incoming',
  status: 'no-answer',
  number: '+1 415',
  since: '2026-03-01',
  until: '2026-03-31',
  recorded: false,
  label: 'VIP, gold',
};

describe('the address', () => {
  it('gives back what was put in, filter by filter and all at once', () => {
    expect(readFilters(writeFilters(ALL))).toEqual(ALL);
    for (const name of Object.keys(ALL) as (keyof Filters)[]) {
      const one = { ...NO_FILTERS, [name]: ALL[name] };
      expect(readFilters(writeFilters(one)), name).toEqual(one);
    }
  });

  it('is empty without filters', () => {
    expect(writeFilters(NO_FILTERS)).toBe('');
    expect(readFilters('')).toEqual(NO_FILTERS);
  });

  it.each([
    '?direction=sideways',
    '?status=%27%20OR%201',
    '?since=2026-02-30',
    '?until=yesterday',
    '?recorded=true',
    '?unheard=of',
  ])('makes nothing of %s', (search) => {
    expect(readFilters(search)).toEqual(NO_FILTERS);
  });

  it('holds no more text than can be looked for', () => {
    expect(readFilters(`?q=${'a'.repeat(5_000)}`).q).toHaveLength(200);
  });
});

describe('the question to the server', () => {
  it('asks for nothing that is off', () => {
    expect(toQuery(NO_FILTERS)).toEqual({});
    expect(toQuery({ ...NO_FILTERS, q: '  ' })).toEqual({});
  });

  it('counts whole days of the reader', () => {
    const { since, until } = toQuery({ ...NO_FILTERS, since: '2026-03-29', until: '2026-03-29' });
    expect(new Date(since ?? '')).toEqual(new Date(2026, 2, 29));
    expect(new Date(until ?? '')).toEqual(new Date(2026, 2, 30));
  });

  it('keeps false apart from off', () => {
    expect(toQuery({ ...NO_FILTERS, recorded: false })).toEqual({ recorded: false });
  });
});

it('counts what narrows, but not the words', () => {
  expect(countFilters(NO_FILTERS)).toBe(0);
  expect(countFilters({ ...NO_FILTERS, q: 'word' })).toBe(0);
  expect(countFilters(ALL)).toBe(7);
});
