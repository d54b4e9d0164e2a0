import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FakeCall, settle, setUp } from './fakes';

const THEIR_NUMBER = '+14155550123';
const SID = 'CA1';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** Creates a phone that is online. */
async function online() {
  const all = setUp();
  await all.goOnline();
  return { ...all, stage: () => all.state().call?.stage };
}

/** Creates a phone that calls, with the SDK's call that has not rung yet. */
async function calling() {
  const all = await online();
  const call = new FakeCall('OUTGOING', { CallSid: SID });
  all.phone.dial(THEIR_NUMBER);
  all.device().connecting.resolve(call);
  await settle();
  return { ...all, call };
}

/** Creates a phone in a call. */
async function talking() {
  const all = await calling();
  all.call.emit('accept');
  return all;
}

describe('an outgoing call', () => {
  it('dials, rings, is connected, and ends', async () => {
    const { phone, device, server, state, stage } = await online();
    phone.dial(THEIR_NUMBER);
    expect(state().call).toMatchObject({
      direction: 'outgoing',
      party: THEIR_NUMBER,
      sid: null,
      stage: { name: 'dialling' },
    });
    expect(phone.isInCall).toBe(true);
    expect(device().calls.at(-1)).toBe(`connect ${THEIR_NUMBER} default`);
    const call = new FakeCall('OUTGOING', { CallSid: SID });
    device().connecting.resolve(call);
    await settle();
    expect(stage()?.name).toBe('dialling');
    call.emit('ringing', true);
    expect(stage()?.name).toBe('ringing');
    expect(state().call?.sid).toBe(SID);
    call.emit('accept');
    expect(stage()).toEqual({ name: 'talking', sinceMs: Date.now() });
    await vi.advanceTimersByTimeAsync(3_000);
    call.emit('disconnect');
    await settle();
    expect(stage()).toEqual({ name: 'ended', by: 'them', error: null, talkedMs: 3_000 });
    expect(phone.isInCall).toBe(false);
    expect(server.refreshCalls).toHaveBeenCalledOnce();
    phone.dismissEndedCall();
    expect(state().call).toBeNull();
  });

  it('uses the chosen microphone', async () => {
    const { phone, chosen, device } = await online();
    chosen.microphone = 'headset';
    phone.dial(THEIR_NUMBER);
    expect(device().calls.at(-1)).toBe(`connect ${THEIR_NUMBER} headset`);
  });

  it('is not made offline, nor during another one', async () => {
    const offline = setUp();
    offline.phone.dial(THEIR_NUMBER);
    expect(offline.state().call).toBeNull();
    const { phone, device, state } = await calling();
    phone.dial('+442079460000');
    expect(state().call?.party).toBe(THEIR_NUMBER);
    expect(device().calls.filter((call) => call.startsWith('connect'))).toHaveLength(1);
  });

  it('replaces the summary of the call before', async () => {
    const { phone, call, state, stage } = await talking();
    call.disconnect();
    await settle();
    expect(stage()?.name).toBe('ended');
    phone.dial('+442079460000');
    expect(state().call).toMatchObject({ party: '+442079460000', stage: { name: 'dialling' } });
  });

  it('plays a ringing tone only where the other end sends none', async () => {
    const silent = await calling();
    silent.call.emit('ringing', false);
    silent.call.emit('ringing', false);
    expect(silent.audible()).toEqual(['ringback']);
    silent.call.emit('accept');
    expect(silent.audible()).toEqual([]);
    const audible = await calling();
    audible.call.emit('ringing', true);
    expect(audible.audible()).toEqual([]);
  });

  it('stops the ringing tone at its end', async () => {
    const { call, audible } = await calling();
    call.emit('ringing', false);
    call.emit('cancel');
    await settle();
    expect(audible()).toEqual([]);
  });

  it('follows the status at the server once it changes', async () => {
    const { call, live, stage } = await talking();
    expect(live.followed).toEqual([SID]);
    // The first status may be outdated.
    live.setStatus(SID, 'ringing');
    expect(stage()?.name).toBe('talking');
    live.setStatus(SID, 'queued');
    live.setStatus(SID, 'ringing');
    expect(stage()?.name).toBe('ringing');
    await vi.advanceTimersByTimeAsync(5_000);
    live.setStatus(SID, 'in-progress');
    expect(stage()).toEqual({ name: 'talking', sinceMs: Date.now() });
    call.disconnect();
    await settle();
    expect(live.followed).toEqual([]);
  });

  it('applies a first status that cannot be outdated', async () => {
    const { call, live, stage } = await calling();
    call.emit('ringing', true);
    live.setStatus(SID, 'in-progress');
    expect(stage()?.name).toBe('talking');
  });
});

describe('hanging up', () => {
  it('ends the call', async () => {
    const { phone, call, stage } = await talking();
    phone.hangUp();
    await settle();
    expect(call.calls).toEqual(['disconnect']);
    expect(stage()).toMatchObject({ name: 'ended', by: 'us', error: null });
  });

  it('ends a call that the SDK is still setting up', async () => {
    const { phone, device, stage } = await online();
    phone.dial(THEIR_NUMBER);
    phone.hangUp();
    expect(stage()?.name).toBe('dialling');
    const call = new FakeCall('OUTGOING', { CallSid: SID });
    device().connecting.resolve(call);
    await settle();
    expect(call.calls).toEqual(['disconnect']);
    expect(stage()).toMatchObject({ name: 'ended', by: 'us', talkedMs: 0 });
  });

  it('does nothing without a call', async () => {
    const { phone, state } = await online();
    const before = state();
    phone.hangUp();
    phone.setMuted(true);
    phone.sendDigits('1');
    expect(state()).toBe(before);
  });
});

describe('an error', () => {
  it('of the set-up ends the call', async () => {
    const { phone, device, stage } = await online();
    phone.dial(THEIR_NUMBER);
    device().connecting.reject(new DOMException('', 'NotFoundError'));
    await settle();
    expect(stage()).toMatchObject({
      name: 'ended',
      by: 'failure',
      error: { cause: 'no-microphone' },
    });
  });

  it('explains the end, whether it comes before or right after', async () => {
    const before = await talking();
    before.call.emit('error', { code: 53405 });
    expect(before.stage()?.name).toBe('talking');
    before.call.emit('disconnect');
    await settle();
    const ended = { name: 'ended', by: 'failure', error: { cause: 'line-blocked', code: 53405 } };
    expect(before.stage()).toMatchObject(ended);
    const after = await talking();
    after.call.emit('disconnect');
    after.call.emit('error', { code: 53405 });
    await settle();
    expect(after.stage()).toMatchObject(ended);
  });

  it('is forgotten when the connection is restored', async () => {
    const { call, stage } = await talking();
    call.emit('error', { code: 53405 });
    call.emit('reconnecting', { code: 53405 });
    expect(stage()?.name).toBe('reconnecting');
    call.emit('reconnected');
    expect(stage()?.name).toBe('talking');
    call.emit('disconnect');
    await settle();
    expect(stage()).toMatchObject({ by: 'them', error: null });
  });

  it('does not hide that the user hung up', async () => {
    const { phone, call, stage } = await talking();
    call.emit('error', { code: 53405 });
    phone.hangUp();
    await settle();
    expect(stage()).toMatchObject({ by: 'us' });
  });

  it('of an earlier call does not reach the next one', async () => {
    const { phone, device, call, state, stage } = await talking();
    call.disconnect();
    await settle();
    phone.dial(THEIR_NUMBER);
    const next = new FakeCall('OUTGOING', { CallSid: 'CA9' });
    device().connecting.resolve(next);
    await settle();
    call.emit('error', { code: 53405 });
    call.emit('mute', true);
    call.emit('disconnect');
    next.emit('accept');
    await settle();
    expect(stage()?.name).toBe('talking');
    expect(state().call?.muted).toBe(false);
  });
});

describe('during a call', () => {
  it('the microphone is muted and unmuted', async () => {
    const { phone, call, state } = await talking();
    phone.setMuted(true);
    expect(state().call?.muted).toBe(true);
    phone.setMuted(false);
    expect(state().call?.muted).toBe(false);
    expect(call.calls).toEqual(['mute true', 'mute false']);
  });

  it('digits are sent as DTMF tones, and commas as pauses', async () => {
    const { phone, call, state } = await talking();
    phone.sendDigits('1,2 #x');
    expect(call.calls).toEqual(['sendDigits 1w2#']);
    expect(state().call?.digits).toBe('1,2#');
    phone.sendDigits('xyz');
    expect(call.calls).toHaveLength(1);
  });

  it('digits are sent while it rings, but not before', async () => {
    const { phone, call, state } = await calling();
    phone.sendDigits('1');
    expect(call.calls).toEqual([]);
    expect(state().call?.digits).toBe('');
    call.emit('ringing', true);
    phone.sendDigits('2');
    expect(call.calls).toEqual(['sendDigits 2']);
  });

  it('the quality of the connection is measured', async () => {
    const { call, state } = await talking();
    call.emit('sample', { mos: 4.1, rtt: 40, jitter: 3, packetsLostFraction: 5 });
    call.emit('warning', 'high-rtt');
    call.emit('warning', 'a warning of a later SDK');
    expect(state().call).toMatchObject({
      sample: { mos: 4.1, roundTripMs: 40, jitterMs: 3, lost: 0.05 },
      warnings: ['high-rtt'],
    });
    call.emit('warning-cleared', 'high-rtt');
    expect(state().call?.warnings).toEqual([]);
  });
});
