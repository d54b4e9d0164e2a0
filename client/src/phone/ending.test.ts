import { describe, expect, it } from 'vitest';
import { endingOf } from './ending';
import { phoneErrorOfCode } from './errors';

describe('the end of a call', () => {
  const seen = { direction: 'outgoing', by: 'them', error: null, talkedMs: 0 } as const;

  it.each([
    [{ ...seen, talkedMs: 5 }, { status: 'completed' }, 'they-hung-up'],
    [{ ...seen, by: 'us', talkedMs: 5 }, undefined, 'you-hung-up'],
    [{ ...seen, by: 'us' }, undefined, 'cancelled'],
    [seen, { status: 'busy', endCause: 'busy' }, 'busy'],
    [seen, { status: 'no-answer' }, 'no-answer'],
    [seen, { status: 'failed' }, 'not-connected'],
    [seen, { status: 'completed', endCause: 'country_not_allowed' }, 'country-not-allowed'],
    [{ ...seen, error: phoneErrorOfCode(31486) }, undefined, 'busy'],
    [{ ...seen, error: phoneErrorOfCode(31603) }, undefined, 'declined'],
    [{ ...seen, by: 'failure', talkedMs: 5 }, undefined, 'connection-lost'],
    [{ ...seen, by: 'failure' }, undefined, 'not-connected'],
    [{ ...seen, direction: 'incoming' }, undefined, 'caller-gone'],
    [{ ...seen, direction: 'incoming' }, { status: 'canceled' }, 'caller-gone'],
    [{ ...seen, direction: 'incoming', by: 'failure' }, undefined, 'no-line'],
    [{ ...seen, by: 'failure', error: phoneErrorOfCode(31005) }, undefined, 'no-line'],
    [{ ...seen, by: 'failure', error: phoneErrorOfCode(53000) }, undefined, 'no-line'],
    [{ ...seen, by: 'failure', error: phoneErrorOfCode(53405) }, undefined, 'no-line'],
    [{ ...seen, by: 'failure', error: phoneErrorOfCode(31404) }, undefined, 'not-connected'],
  ] as const)('%o, %o: %s', (what, record, ending) => expect(endingOf(what, record)).toBe(ending));
});
