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

describe('the filters in the address', () => {
  it('survive a round trip, one by one and all together', () => {
    expect(readFilters(writeFilters(ALL))).toEqual(ALL);
    for (const name of Object.keys(ALL) as (keyof Filters)[]) {
      const one = { ...NO_FILTERS, [name]: ALL[name] };
      expect(readFilters(writeFilters(one)), name).toEqual(one);
    }
  });

  it('are an empty string when all are off', () => {
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
  ])('ignore %s', (search) => {
    expect(readFilters(search)).toEqual(NO_FILTERS);
  });

  it('cut long text', () => {
    expect(readFilters(`?q=${'a'.repeat(5_000)}`).q).toHaveLength(200);
  });
});

describe('the query to the server', () => {
  it('omits filters that are off', () => {
    expect(toQuery(NO_FILTERS)).toEqual({});
    expect(toQuery({ ...NO_FILTERS, q: '  ' })).toEqual({});
  });

  it('covers whole local days', () => {
    const { since, until } = toQuery({ ...NO_FILTERS, since: '2026-03-29', until: '2026-03-29' });
    expect(new Date(since ?? '')).toEqual(new Date(2026, 2, 29));
    expect(new Date(until ?? '')).toEqual(new Date(2026, 2, 30));
  });

  it('distinguishes false from off', () => {
    expect(toQuery({ ...NO_FILTERS, recorded: false })).toEqual({ recorded: false });
  });
});

it('counts the active filters, but not the search text', () => {
  expect(countFilters(NO_FILTERS)).toBe(0);
  expect(countFilters({ ...NO_FILTERS, q: 'word' })).toBe(0);
  expect(countFilters(ALL)).toBe(7);
});
