import { describe, expect, it } from 'vitest';
import { ASK_AGAIN_AFTER_MS, type RingOutcome, ringOutcomeOf } from './ringOutcome';

/** Asks a server that gives these answers in turn; returns the outcome and the time waited. */
async function outcome(...answers: (RingOutcome | Error)[]) {
  let waitedMs = 0;
  const ask = async () => {
    const next = answers.length > 1 ? answers.shift() : answers[0];
    if (next === undefined || next instanceof Error) throw next;
    return next;
  };
  const wait = async (ms: number) => {
    waitedMs += ms;
  };
  return { outcome: await ringOutcomeOf(ask, wait), waitedMs };
}

const ALL_MS = ASK_AGAIN_AFTER_MS.reduce((sum, ms) => sum + ms, 0);

describe('a call that stopped ringing here', () => {
  it('was answered elsewhere, though the server learns it a moment later', async () => {
    expect(await outcome('answered')).toEqual({ outcome: 'answered', waitedMs: 0 });
    expect(await outcome('ringing', 'ringing', 'answered')).toEqual({
      outcome: 'answered',
      waitedMs: 750,
    });
  });

  it('was missed, if it ended, or if the server does not know in time', async () => {
    expect(await outcome('ringing', 'missed')).toEqual({ outcome: 'missed', waitedMs: 250 });
    expect(await outcome('ringing')).toEqual({ outcome: 'missed', waitedMs: ALL_MS });
    expect(await outcome(new Error('gone'))).toEqual({ outcome: 'missed', waitedMs: ALL_MS });
    expect(await outcome(new Error('gone'), 'answered')).toEqual({
      outcome: 'answered',
      waitedMs: 250,
    });
  });
});
