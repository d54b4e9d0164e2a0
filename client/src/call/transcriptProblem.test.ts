import { describe, expect, it } from 'vitest';
import type { EndReason } from '../api/types';
import { fold, type LiveCall } from '../live/call';
import { problemOf } from './transcriptProblem';

describe('the transcript problem', () => {
  const call = fold(undefined, {
    callSid: 'CA1',
    offset: 0,
    type: 'snapshot',
    epoch: 1,
    engine: 'ok',
    segments: [],
    partials: [],
  });
  if (!call) throw new Error('a snapshot makes a call');
  const withIt = (more: Partial<LiveCall>): LiveCall => ({ ...call, ...more });
  const ended = (reason: EndReason) => withIt({ ended: reason });

  it('is none if all is well, or at first', () => {
    expect(problemOf(call, 'open')).toBeUndefined();
    expect(problemOf(undefined, 'connecting')).toBeUndefined();
  });

  it('is a lost link rather than the engine, until the transcription has ended', () => {
    const late = withIt({ engine: 'behind', lagMs: 4_200 });
    expect(problemOf(late, 'open')?.text).toContain('4.2 s');
    for (const link of ['waiting', 'connecting'] as const)
      expect(problemOf(late, link)?.text).toContain('catching up');
    expect(problemOf(undefined, 'waiting')?.text).toContain('catching up');
    expect(problemOf(ended('stopped'), 'waiting')).toBeUndefined();
  });

  it('is a loss if words are missing', () => {
    expect(problemOf(withIt({ engine: 'degraded' }), 'open')?.isLoss).toBe(true);
    expect(problemOf(withIt({ engine: 'behind' }), 'open')?.isLoss).toBe(false);
    expect(problemOf(call, 'signed-out')?.isLoss).toBe(true);
  });

  it('is another language, once the server keeps up', () => {
    const doubts = (['agent', 'customer'] as const).map((speaker) => ({ speaker, expected: 'en' }));
    const foreign = withIt({ doubts: doubts.slice(1) });
    expect(problemOf(foreign, 'open')).toEqual({
      text: expect.stringMatching(/other party seems to speak another language.*English/),
      isLoss: true,
    });
    expect(problemOf(withIt({ doubts }), 'open')?.text).toContain('Both parties');
    const late = { ...foreign, engine: 'behind' } as const;
    expect(problemOf(late, 'open')?.text).toContain('delayed');
  });

  it('is an unexpected end', () => {
    const reasons: EndReason[] = ['stopped', 'never-started', 'dropped', 'idle', 'shutting-down'];
    expect(reasons.map((reason) => problemOf(ended(reason), 'open')?.isLoss)).toEqual([
      undefined,
      undefined,
      true,
      true,
      true,
    ]);
  });
});
