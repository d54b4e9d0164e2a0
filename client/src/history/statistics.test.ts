import { describe, expect, it } from 'vitest';
import { utterance } from '../player/segmentFixture';
import { talkOf } from '../player/speech';
import { statsOf } from './statistics';

const of = (...segments: ReturnType<typeof utterance>[]) => statsOf(talkOf(segments), segments);

describe('the statistics of a conversation', () => {
  it('are zero or null without speech', () => {
    const { parties, longestSilence } = of();
    expect(parties.agent).toEqual({
      talkMs: 0,
      share: 0,
      words: 0,
      wordsPerMinute: null,
      interruptions: 0,
    });
    expect(longestSilence).toBe(null);
  });

  it('compute the talk share and the words per minute of own speech', () => {
    const { parties } = of(
      utterance('agent', [
        ['one', 0, 10_000],
        ['two', 10_000, 30_000],
      ]),
      utterance('customer', [['three', 40_000, 50_000]]),
    );
    expect(parties.agent.share).toBe(0.75);
    expect(parties.customer.share).toBe(0.25);
    expect(parties.agent.wordsPerMinute).toBe(4);
    expect(parties.customer.wordsPerMinute).toBe(6);
  });

  it('ignore echoes', () => {
    const echo = { ...utterance('customer', [['one', 100, 10_100]]), echo: true };
    const { parties } = of(utterance('agent', [['one', 0, 10_000]]), echo);
    expect(parties.agent.share).toBe(1);
    expect(parties.customer).toEqual({
      talkMs: 0,
      share: 0,
      words: 0,
      wordsPerMinute: null,
      interruptions: 0,
    });
  });

  it('find the longest silence between words', () => {
    const { longestSilence } = of(
      utterance('agent', [
        ['a', 5_000, 6_000],
        ['b', 8_000, 9_000],
      ]),
      utterance('customer', [
        ['c', 6_500, 7_000],
        ['d', 13_000, 14_000],
      ]),
    );
    expect(longestSilence).toEqual({ startMs: 9_000, endMs: 13_000 });
  });

  it('count an interruption if both parties continue to speak', () => {
    const long = utterance('agent', [['a', 0, 5_000]]);
    const count = (startMs: number, endMs: number) =>
      of(long, utterance('customer', [['b', startMs, endMs]])).parties.customer.interruptions;
    expect(count(1_000, 2_000)).toBe(1);
    expect(count(1_000, 1_400)).toBe(0);
    expect(count(4_700, 9_000)).toBe(0);
    expect(count(5_000, 9_000)).toBe(0);
    expect(of(long, utterance('customer', [['b', 1_000, 2_000]])).parties.agent.interruptions).toBe(
      0,
    );
  });
});
