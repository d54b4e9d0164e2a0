import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ApiError } from '../api/client';
import { FakeCall, settle, setUp } from './fakes';
import { CONFIRMATIONS_MAX } from './incomingCalls';
import type { Phone } from './phone';
import { INCOMING_MAX } from './phoneState';

const THEIR_NUMBER = '+442079460000';
const LEG = 'CA2';
const SID = 'CA1';
const RINGS = `ring ${SID} ${THEIR_NUMBER}`;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const incomingCall = (legSid = LEG, sid = SID, from = THEIR_NUMBER) =>
  new FakeCall('INCOMING', { CallSid: legSid, From: from }, { callSid: sid });

/** Creates a phone that is online, and rings it. */
async function ringing() {
  const all = setUp();
  await all.goOnline();
  const call = incomingCall();
  all.device().ring(call);
  return { ...all, call };
}

/** Creates a phone in a call, and rings it with another one. */
async function ringingDuringCall() {
  const all = setUp();
  await all.goOnline();
  const current = new FakeCall('OUTGOING', { CallSid: 'CA8' });
  all.phone.dial('+14155550123');
  all.device().connecting.resolve(current);
  await settle();
  current.emit('accept');
  const call = incomingCall();
  all.device().ring(call);
  return { ...all, call, current };
}

describe('an incoming call', () => {
  it('rings', async () => {
    const { state, audible } = await ringing();
    expect(state().incoming).toEqual([{ legSid: LEG, sid: SID, party: THEIR_NUMBER }]);
    expect(audible()).toEqual([RINGS]);
  });

  it('from another browser shows its name', async () => {
    const { state, device } = await ringing();
    device().ring(incomingCall('CA4', 'CA3', 'client:ada'));
    expect(state().incoming[1]?.party).toBe('ada');
  });

  it('rings under the SID of its leg if the server passed on none', async () => {
    const { device, audible, goOnline } = setUp();
    await goOnline();
    device().ring(new FakeCall('INCOMING', { CallSid: LEG, From: THEIR_NUMBER }));
    expect(audible()).toEqual([`ring ${LEG} ${THEIR_NUMBER}`]);
  });

  it('is left alone if too many ring already', async () => {
    const { device, state, audible, missed } = await ringing();
    for (let n = 1; n < INCOMING_MAX; n += 1) device().ring(incomingCall(`CB${n}`, `CC${n}`));
    const tooMany = incomingCall('CA9', 'CA8');
    device().ring(tooMany);
    expect(state().incoming).toHaveLength(INCOMING_MAX);
    expect(audible()).toHaveLength(INCOMING_MAX);
    tooMany.emit('cancel');
    expect([tooMany.calls, missed]).toEqual([[], []]);
  });

  it('is missed if the caller hangs up', async () => {
    const { call, state, audible, missed } = await ringing();
    call.emit('cancel');
    call.emit('disconnect');
    expect(state().incoming).toEqual([]);
    expect(audible()).toEqual([]);
    expect(missed).toEqual([`${SID} ${THEIR_NUMBER}`]);
  });

  it('is ignored when the user makes a call', async () => {
    const { phone, call, state, audible, channel } = await ringing();
    phone.dial('+14155550123');
    expect(call.calls).toEqual(['ignore']);
    expect(state().incoming).toEqual([]);
    expect(audible()).toEqual([]);
    expect(channel().sent).toEqual([{ decision: 'ignored', call: SID }]);
  });
});

describe('accepting', () => {
  it('answers with the chosen microphone, and follows the call at the server', async () => {
    const { phone, call, chosen, server, live, state, audible, missed } = await ringing();
    chosen.microphone = 'headset';
    const accepting = phone.accept(LEG);
    expect(call.calls).toEqual(['accept headset']);
    expect(audible()).toEqual([]);
    expect(state()).toMatchObject({
      incoming: [],
      call: {
        direction: 'incoming',
        party: THEIR_NUMBER,
        sid: SID,
        stage: { name: 'answering' },
      },
    });
    call.emit('accept');
    expect(state().call?.stage.name).toBe('talking');
    await accepting;
    expect(server.confirmAnswered).toHaveBeenCalledExactlyOnceWith(SID);
    expect(server.refreshCall).toHaveBeenCalledExactlyOnceWith(SID);
    expect(live.askedAgain).toEqual([SID]);
    expect(live.followed).toEqual([SID]);
    call.emit('disconnect');
    await settle();
    expect(state().call?.stage).toMatchObject({ name: 'ended', by: 'them' });
    expect(missed).toEqual([]);
  });

  it('takes the SID of the call from the server', async () => {
    const { phone, device, server, live, state, goOnline } = setUp();
    await goOnline();
    server.confirmAnswered.mockResolvedValue(SID);
    device().ring(new FakeCall('INCOMING', { CallSid: LEG, From: THEIR_NUMBER }));
    await phone.accept(LEG);
    expect(server.confirmAnswered).toHaveBeenCalledExactlyOnceWith(LEG);
    expect(state().call?.sid).toBe(SID);
    expect(live.followed).toEqual([SID]);
  });

  it('is confirmed again while the server does not know of the answer', async () => {
    const { phone, server } = await ringing();
    const early = new ApiError('not_answered_yet', 'x', 409);
    server.confirmAnswered.mockRejectedValueOnce(early).mockRejectedValueOnce(early);
    await phone.accept(LEG);
    expect(server.confirmAnswered).toHaveBeenCalledTimes(3);
    expect(server.refreshCall).toHaveBeenCalledOnce();
  });

  it('goes on without a confirmation', async () => {
    const { phone, call, server, state } = await ringing();
    const early = new ApiError('not_answered_yet', 'x', 409);
    server.confirmAnswered.mockRejectedValue(early);
    await phone.accept(LEG);
    expect(server.confirmAnswered).toHaveBeenCalledTimes(CONFIRMATIONS_MAX);
    expect(server.noteSignedOut).toHaveBeenCalledExactlyOnceWith(early);
    call.emit('accept');
    expect(state().call?.stage.name).toBe('talking');
  });

  it('asks once after any other refusal', async () => {
    const { phone, server } = await ringing();
    server.confirmAnswered.mockRejectedValue(new ApiError('no_such_call', 'x', 404));
    await phone.accept(LEG);
    expect(server.confirmAnswered).toHaveBeenCalledOnce();
  });

  it('does nothing for a call that stopped ringing, nor during another call', async () => {
    const over = await ringing();
    over.call.emit('cancel');
    await over.phone.accept(LEG);
    expect(over.call.calls).toEqual([]);
    const busy = await ringingDuringCall();
    await busy.phone.accept(LEG);
    expect(busy.call.calls).toEqual([]);
    expect(busy.state().incoming).toHaveLength(1);
  });

  it('rings softly for the others', async () => {
    const { phone, device, audible } = await ringing();
    device().ring(incomingCall('CA4', 'CA3'));
    await phone.accept(LEG);
    expect(audible()).toEqual(['waiting']);
  });
});

it('replaces the summary of the call before when it is accepted', async () => {
  const { phone, current, state } = await ringingDuringCall();
  current.emit('disconnect');
  await settle();
  expect(state().call?.stage.name).toBe('ended');
  await phone.accept(LEG);
  expect(state().call).toMatchObject({ party: THEIR_NUMBER, stage: { name: 'answering' } });
});

describe('rejecting', () => {
  it('declines the call, which is not missed then', async () => {
    const { phone, call, state, audible, missed } = await ringing();
    phone.reject(LEG);
    expect(call.calls).toEqual(['reject']);
    expect(state().incoming).toEqual([]);
    expect(audible()).toEqual([]);
    expect(missed).toEqual([]);
  });

  it('does nothing for a call that stopped ringing', async () => {
    const { phone, call, channel } = await ringing();
    call.emit('cancel');
    phone.reject(LEG);
    phone.ignore(LEG);
    expect(call.calls).toEqual([]);
    expect(channel().sent).toEqual([]);
  });
});

describe('ignoring', () => {
  it('silences the call here, and leaves it ringing elsewhere', async () => {
    const { phone, call, state, audible, missed } = await ringing();
    phone.ignore(LEG);
    expect(call.calls).toEqual(['ignore']);
    expect(state().incoming).toEqual([]);
    expect(audible()).toEqual([]);
    call.emit('cancel');
    expect(missed).toEqual([]);
  });
});

describe('several tabs', () => {
  it.each([
    ['answered', (phone: Phone): void => void phone.accept(LEG)],
    ['rejected', (phone: Phone): void => phone.reject(LEG)],
    ['ignored', (phone: Phone): void => phone.ignore(LEG)],
  ] as const)('learn that a call was %s here', async (decision, decide) => {
    const { phone, channel } = await ringing();
    decide(phone);
    expect(channel().sent).toEqual([{ decision, call: SID }]);
  });

  it('hear nothing of a call that they do not know', async () => {
    const { phone, device, channel, goOnline } = setUp();
    await goOnline();
    device().ring(new FakeCall('INCOMING', { CallSid: LEG, From: THEIR_NUMBER }));
    phone.reject(LEG);
    expect(channel().sent).toEqual([]);
  });

  it.each([
    ['answered', []],
    ['rejected', ['reject']],
    ['ignored', ['ignore']],
  ])('have a call that was %s in another tab stop ringing here', async (decision, calls) => {
    const { call, channel, state, audible, missed } = await ringing();
    channel().receive({ decision, call: SID });
    expect(state().incoming).toEqual([]);
    expect(audible()).toEqual([]);
    expect(call.calls).toEqual(calls);
    call.emit('cancel');
    expect(missed).toEqual([]);
    // The other tabs know already.
    expect(channel().sent).toEqual([]);
  });

  it('leave other calls alone', async () => {
    const { channel, state } = await ringing();
    channel().receive({ decision: 'rejected', call: 'CA99' });
    expect(state().incoming).toHaveLength(1);
  });
});

describe('a call during another one', () => {
  it('waits, and rings softly', async () => {
    const { state, audible } = await ringingDuringCall();
    expect(state().call?.stage.name).toBe('talking');
    expect(state().incoming).toHaveLength(1);
    expect(audible()).toEqual(['waiting']);
  });

  it('rings aloud once the other one has ended', async () => {
    const { phone, current, call, audible } = await ringingDuringCall();
    current.emit('disconnect');
    await settle();
    expect(audible()).toEqual([RINGS]);
    void phone.accept(LEG);
    expect(call.calls).toEqual(['accept default']);
  });

  it('can be rejected', async () => {
    const { phone, call, audible, state } = await ringingDuringCall();
    phone.reject(LEG);
    expect(call.calls).toEqual(['reject']);
    expect(audible()).toEqual([]);
    expect(state().call?.stage.name).toBe('talking');
  });
});
