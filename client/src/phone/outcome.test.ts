import { describe, expect, it } from 'vitest';
import { ASKED_AGAIN_AFTER_MS, type Outcome, outcomeOf } from './outcome';

/** Asks a server that answers so, one after the other; the outcome, and how long it was waited for. */
async function outcome(...answers: (Outcome | Error)[]) {
  let waitedMs = 0;
  const ask = async () => {
    const next = answers.length > 1 ? answers.shift() : answers[0];
    if (next === undefined || next instanceof Error) throw next;
    return next;
  };
  const wait = async (ms: number) => {
    waitedMs += ms;
  };
  return { told: await outcomeOf(ask, wait), waitedMs };
}

const ALL_MS = ASKED_AGAIN_AFTER_MS.reduce((sum, ms) => sum + ms, 0);

describe('a call that rings here no more', () => {
  it('was answered elsewhere, though the server hears of it a moment later', async () => {
    expect(await outcome('answered')).toEqual({ told: 'answered', waitedMs: 0 });
    expect(await outcome('ringing', 'ringing', 'answered')).toEqual({
      told: 'answered',
      waitedMs: 750,
    });
  });

  it('was missed, if it ended, or if the server does not know in time', async () => {
    expect(await outcome('ringing', 'missed')).toEqual({ told: 'missed', waitedMs: 250 });
    expect(await outcome('ringing')).toEqual({ told: 'missed', waitedMs: ALL_MS });
    expect(await outcome(new Error('gone'))).toEqual({ told: 'missed', waitedMs: ALL_MS });
    expect(await outcome(new Error('gone'), 'answered')).toEqual({
      told: 'answered',
      waitedMs: 250,
    });
  });
});
