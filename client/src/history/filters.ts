/** What of the history is shown: the page's address in words of ours, and as the server asks. Pure. */

import type { operations } from '../api/schema';
import type { CallStatus, Direction } from '../api/types';

/** Days are the reader's own: `2026-11-25`. An empty text is a filter that is off. */
export interface Filters {
  q: string;
  direction: Direction | null;
  status: CallStatus | null;
  number: string;
  /** The first day. */
  since: string;
  /** The last day, and all of it. */
  until: string;
  recorded: boolean | null;
  label: string;
}

export const NO_FILTERS: Filters = {
  q: '',
  direction: null,
  status: null,
  number: '',
  since: '',
  until: '',
  recorded: null,
  label: '',
};

/** The outcomes that one can ask for. */
export const OUTCOMES = [
  'completed',
  'no-answer',
  'busy',
  'canceled',
  'failed',
  'in-progress',
] as const satisfies readonly CallStatus[];

const DIRECTIONS = ['outgoing', 'incoming'] as const satisfies readonly Direction[];

/** More than the server looks for. */
export const TEXT_MAX = 200;

type ListQuery = NonNullable<operations['getCalls']['parameters']['query']>;

/** Reads the address; what makes no sense in it is as if it were not there. */
export function readFilters(search: string): Filters {
  const params = new URLSearchParams(search);
  const text = (name: string) => (params.get(name) ?? '').slice(0, TEXT_MAX);
  return {
    q: text('q'),
    direction: oneOf(DIRECTIONS, params.get('direction')),
    status: oneOf(OUTCOMES, params.get('status')),
    number: text('number'),
    since: day(params.get('since')),
    until: day(params.get('until')),
    recorded: truth(params.get('recorded')),
    label: text('label'),
  };
}

/** The address of these filters: `?q=…`, or nothing when all are off. */
export function writeFilters(filters: Filters): string {
  const params = new URLSearchParams();
  const put = (name: keyof Filters, value: string | null) => {
    if (value) params.set(name, value);
  };
  put('q', filters.q);
  put('direction', filters.direction);
  put('status', filters.status);
  put('number', filters.number);
  put('since', filters.since);
  put('until', filters.until);
  put('recorded', filters.recorded === null ? null : filters.recorded ? 'yes' : 'no');
  put('label', filters.label);
  const text = params.toString();
  return text && `?${text}`;
}

/** The same for the server, which counts in instants. */
export function toQuery(filters: Filters): ListQuery {
  const query: ListQuery = {};
  if (filters.q.trim()) query.q = filters.q;
  if (filters.direction) query.direction = filters.direction;
  if (filters.status) query.status = filters.status;
  if (filters.number.trim()) query.number = filters.number;
  if (filters.since) query.since = midnight(filters.since, 0).toISOString();
  if (filters.until) query.until = midnight(filters.until, 1).toISOString();
  if (filters.recorded !== null) query.recorded = filters.recorded;
  if (filters.label.trim()) query.label = filters.label.trim();
  return query;
}

/** How many narrow the list, beside the words that are looked for. */
export function countFilters({ q: _, ...filters }: Filters): number {
  return Object.values(filters).filter((value) => value !== null && value !== '').length;
}

/** Whether the whole history is shown. */
export const isEverything = (filters: Filters) => writeFilters(filters) === '';

function oneOf<T extends string>(values: readonly T[], text: string | null): T | null {
  return values.find((value) => value === text) ?? null;
}

function truth(text: string | null): boolean | null {
  return text === 'yes' ? true : text === 'no' ? false : null;
}

/** A day that there is, or nothing. */
function day(text: string | null): string {
  if (!text || !/^\d{4}-\d{2}-\d{2}$/.test(text)) return '';
  const date = new Date(`${text}T00:00:00Z`);
  // The thirtieth of February would come out as a day of March.
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text) ? text : '';
}

/** Where the day begins here, or the one so many days later: not every day has 24 hours. */
function midnight(text: string, daysLater: number): Date {
  const [year = 0, month = 1, date = 1] = text.split('-').map(Number);
  return new Date(year, month - 1, date + daysLater);
}
