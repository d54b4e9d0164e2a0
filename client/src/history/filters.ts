/** The filters of the call list, in the address of the page and in the query to the server. Pure. */
import type { operations } from '../api/schema';
import type { CallStatus, Direction } from '../api/types';

/** Days are local: `2026-11-25`. An empty string is a filter that is off. */
export interface Filters {
  q: string;
  direction: Direction | null;
  status: CallStatus | null;
  number: string;
  /** The first day, inclusive. */
  since: string;
  /** The last day, inclusive. */
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

/** The statuses that can be filtered by. */
export const OUTCOMES = [
  'completed',
  'no-answer',
  'busy',
  'canceled',
  'failed',
  'in-progress',
] as const satisfies readonly CallStatus[];

const DIRECTIONS = ['outgoing', 'incoming'] as const satisfies readonly Direction[];

/** The maximum length of a text filter; the server accepts less. */
export const TEXT_MAX = 200;

type ListQuery = NonNullable<operations['getCalls']['parameters']['query']>;

/** Parses the address; ignores invalid values. */
export function readFilters(search: string): Filters {
  const params = new URLSearchParams(search);
  const text = (name: string) => (params.get(name) ?? '').slice(0, TEXT_MAX);
  return {
    q: text('q'),
    direction: oneOf(DIRECTIONS, params.get('direction')),
    status: oneOf(OUTCOMES, params.get('status')),
    number: text('number'),
    since: validDay(params.get('since')),
    until: validDay(params.get('until')),
    recorded: yesOrNo(params.get('recorded')),
    label: text('label'),
  };
}

/** Formats the filters for the address: `?q=…`, or an empty string when all are off. */
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

/** The query for the server, with instants in place of days. */
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

/** The number of active filters, without the search text. */
export function countFilters({ q: _, ...filters }: Filters): number {
  return Object.values(filters).filter((value) => value !== null && value !== '').length;
}

/** Whether no filter is active. */
export const isEverything = (filters: Filters) => writeFilters(filters) === '';

function oneOf<T extends string>(values: readonly T[], text: string | null): T | null {
  return values.find((value) => value === text) ?? null;
}

function yesOrNo(text: string | null): boolean | null {
  return text === 'yes' ? true : text === 'no' ? false : null;
}

/** The day if it exists, else an empty string. */
function validDay(text: string | null): string {
  if (!text || !/^\d{4}-\d{2}-\d{2}$/.test(text)) return '';
  const date = new Date(`${text}T00:00:00Z`);
  // `Date` turns 30 February into a day of March.
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text) ? text : '';
}

/** Local midnight of the day, or of a later one: not every day has 24 hours. */
function midnight(text: string, daysLater: number): Date {
  const [year = 0, month = 1, date = 1] = text.split('-').map(Number);
  return new Date(year, month - 1, date + daysLater);
}
