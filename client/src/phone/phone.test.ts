import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ApiError } from '../api/client';
import { FIRST_WAIT_MS } from '../live/backoff';
import { phoneError } from './errors';
import {
  accessToken,
  Deferred,
  endOfToken,
  FakeCall,
  FakeDevice,
  settle,
  setUp,
  TOKEN_LIFE_MS,
} from './fakes';
import { INITIAL_STATE } from './phoneState';
import { ONLINE_WITHIN_MS, RECONNECTS_WITHIN_MS } from './twilioConnection';

const THEIR_NUMBER = '+14155550123';
const unreachable = new ApiError('unreachable', 'x', 0);
const signedOut = new ApiError('sign_in_required', 'Sign in.', 401);

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('going online', () => {
  it('asks for the microphone and a token, and is online once Twilio and the server know it', async () => {
    const { phone, server, browser, device, state } = setUp();
    const answer = new Deferred<undefined>();
    server.register.mockReturnValue(answer.promise);
    await phone.goOnline();
    expect(browser.prepareAlerts).toHaveBeenCalledOnce();
    expect(browser.requestMicrophone).toHaveBeenCalledOnce();
    expect(server.requestAccessToken).toHaveBeenCalledExactlyOnceWith('tab');
    expect(device().token).toBe('token-1');
    expect(device().options).toMatchObject({ allowIncomingWhileBusy: true, closeProtection: true });
    expect(device().calls).toEqual(['register', 'setSpeaker default']);
    expect(state().line.name).toBe('going-online');
    device().becomeRegistered();
    expect(server.register).toHaveBeenCalledExactlyOnceWith({
      id: 'registration-1',
      browser: 'tab',
      expiresAt: endOfToken(),
    });
    expect(state().line.name).toBe('going-online');
    answer.resolve(undefined);
    await settle();
    expect(state().line).toEqual({ name: 'online' });
  });

  it('connects to the edge that the server names', async () => {
    const { server, phone, device } = setUp();
    server.requestAccessToken.mockResolvedValue({ ...accessToken('token'), edge: 'dublin' });
    await phone.goOnline();
    expect(device().options).toMatchObject({ edge: 'dublin' });
  });

  it('does nothing while it is online, or on its way there', async () => {
    const { phone, server, device, devices } = setUp();
    const going = phone.goOnline();
    await phone.goOnline();
    await going;
    device().becomeRegistered();
    await settle();
    await phone.goOnline();
    expect(server.requestAccessToken).toHaveBeenCalledOnce();
    expect(devices).toHaveLength(1);
  });

  it('claims the name of the tab once', async () => {
    const { phone, browser, goOnline } = setUp();
    await goOnline();
    phone.goOffline();
    await goOnline();
    expect(browser.claimTabName).toHaveBeenCalledOnce();
  });

  it('fails at once where the browser lacks something', async () => {
    const error = phoneError('no-webrtc');
    const { phone, browser, environment, state } = setUp({ missing: () => error });
    await phone.goOnline();
    expect(state().line).toEqual({ name: 'offline', error });
    expect(browser.requestMicrophone).not.toHaveBeenCalled();
    expect(environment.handlers).toBeUndefined();
  });

  it('fails without the microphone', async () => {
    const denied = new DOMException('', 'NotAllowedError');
    const { phone, server, environment, channel, state } = setUp({
      requestMicrophone: () => Promise.reject(denied),
    });
    await phone.goOnline();
    expect(state().line).toEqual({ name: 'offline', error: phoneError('no-permission') });
    expect(server.requestAccessToken).not.toHaveBeenCalled();
    expect(environment.handlers).toBeUndefined();
    expect(channel().isClosed).toBe(true);
  });

  it('fails without a token, and has the session checked', async () => {
    const { phone, server, createDevice, state } = setUp();
    server.requestAccessToken.mockRejectedValue(signedOut);
    await phone.goOnline();
    expect(state().line).toEqual({ name: 'offline', error: phoneError('server', 'Sign in.') });
    expect(server.noteSignedOut).toHaveBeenCalledExactlyOnceWith(signedOut);
    expect(createDevice).not.toHaveBeenCalled();
  });

  it('fails without the SDK', async () => {
    const { phone, createDevice, state } = setUp();
    createDevice.mockRejectedValue(new TypeError('error loading dynamically imported module: x'));
    await phone.goOnline();
    expect(state().line).toEqual({ name: 'offline', error: phoneError('sdk-not-loaded') });
  });

  it('fails with an error of the device', async () => {
    const { phone, device, state } = setUp();
    await phone.goOnline();
    device().fail(20101);
    expect(state().line).toMatchObject({ name: 'offline', error: { cause: 'token-refused' } });
    expect(device().calls).toContain('destroy');
  });

  it('waits for a connection that the SDK retries, and fails after a while', async () => {
    const { phone, device, state } = setUp();
    await phone.goOnline();
    device().fail(31005);
    await vi.advanceTimersByTimeAsync(ONLINE_WITHIN_MS - 1);
    expect(state().line.name).toBe('going-online');
    await vi.advanceTimersByTimeAsync(1);
    expect(state().line).toEqual({ name: 'offline', error: phoneError('line-not-up') });
    expect(device().calls).toContain('destroy');
  });

  it('fails if the server does not answer in time that it knows the browser', async () => {
    const { phone, server, device, state } = setUp();
    server.register.mockReturnValue(new Deferred<undefined>().promise);
    await phone.goOnline();
    device().becomeRegistered();
    await vi.advanceTimersByTimeAsync(ONLINE_WITHIN_MS);
    expect(state().line).toEqual({ name: 'offline', error: phoneError('no-internet') });
  });

  it('fails if the server refuses the registration', async () => {
    const { phone, server, device, state } = setUp();
    server.register.mockRejectedValue(unreachable);
    await phone.goOnline();
    device().becomeRegistered();
    await settle();
    expect(state().line).toEqual({ name: 'offline', error: phoneError('no-internet') });
    expect(server.noteSignedOut).toHaveBeenCalledWith(unreachable);
    expect(device().calls).toContain('destroy');
  });

  it('stops where the user goes offline before the token is there', async () => {
    const { phone, server, createDevice, state } = setUp();
    const token = new Deferred<ReturnType<typeof accessToken>>();
    server.requestAccessToken.mockReturnValue(token.promise);
    const going = phone.goOnline();
    await settle();
    phone.goOffline();
    token.resolve(accessToken('late'));
    await going;
    expect(createDevice).not.toHaveBeenCalled();
    expect(state().line).toEqual({ name: 'offline', error: null });
  });

  it('destroys a device that is created after the user went offline', async () => {
    const { phone, createDevice, state } = setUp();
    const created = new Deferred<FakeDevice>();
    createDevice.mockReturnValue(created.promise);
    const going = phone.goOnline();
    await settle();
    phone.goOffline();
    const late = new FakeDevice('late', {});
    created.resolve(late);
    await going;
    expect(late.calls).toContain('destroy');
    late.becomeRegistered();
    await settle();
    expect(state().line.name).toBe('offline');
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('going offline', () => {
  it('destroys the device, tells the server, and leaves nothing behind', async () => {
    const { phone, server, live, environment, channel, device, state, goOnline } = setUp();
    await goOnline();
    phone.goOffline();
    await settle();
    expect(state().line).toEqual({ name: 'offline', error: null });
    expect(device().calls).toContain('destroy');
    expect(server.unregister).toHaveBeenCalledExactlyOnceWith('registration-1');
    expect(environment.handlers).toBeUndefined();
    expect(channel().isClosed).toBe(true);
    expect(live.open).toBeUndefined();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('ignores what the destroyed device emits', async () => {
    const { phone, device, state, server, goOnline } = setUp();
    await goOnline();
    phone.goOffline();
    device().becomeRegistered();
    device().becomeUnregistered();
    device().fail(31005);
    device().ring(new FakeCall('INCOMING', { CallSid: 'CA2', From: THEIR_NUMBER }));
    await settle();
    expect(state()).toEqual(INITIAL_STATE);
    expect(server.register).toHaveBeenCalledOnce();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('ends the call, and keeps it to show', async () => {
    const { phone, device, state, goOnline } = setUp();
    await goOnline();
    const call = new FakeCall('OUTGOING');
    phone.dial(THEIR_NUMBER);
    device().connecting.resolve(call);
    await settle();
    phone.goOffline();
    await settle();
    expect(call.calls).toEqual(['disconnect']);
    expect(state().call?.stage).toMatchObject({ name: 'ended', by: 'us' });
  });

  it('silences what rings', async () => {
    const { phone, device, audible, missed, state, goOnline } = setUp();
    await goOnline();
    device().ring(new FakeCall('INCOMING', { CallSid: 'CA2', From: THEIR_NUMBER }));
    expect(audible()).toHaveLength(1);
    phone.goOffline();
    expect(audible()).toEqual([]);
    expect(state().incoming).toEqual([]);
    expect(missed).toEqual([]);
  });

  it('clears the state on a reset', async () => {
    const { phone, device, state, goOnline } = setUp();
    await goOnline();
    phone.dial(THEIR_NUMBER);
    device().connecting.resolve(new FakeCall('OUTGOING'));
    await settle();
    phone.reset();
    await settle();
    expect(state()).toEqual(INITIAL_STATE);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('lets the phone go online again, under another registration', async () => {
    const { phone, server, devices, state, goOnline } = setUp();
    await goOnline();
    phone.goOffline();
    await goOnline();
    expect(state().line.name).toBe('online');
    expect(devices).toHaveLength(2);
    expect(server.register).toHaveBeenLastCalledWith(
      expect.objectContaining({ id: 'registration-2' }),
    );
  });
});

describe('the access token', () => {
  it('is refreshed at four fifths of its life, again and again', async () => {
    const { server, device, goOnline } = setUp();
    await goOnline();
    for (const token of ['token-2', 'token-3']) {
      await vi.advanceTimersByTimeAsync(0.8 * TOKEN_LIFE_MS - 1);
      expect(device().calls).not.toContain(`updateToken ${token}`);
      await vi.advanceTimersByTimeAsync(1);
      expect(device().calls).toContain(`updateToken ${token}`);
      expect(server.register).toHaveBeenLastCalledWith({
        id: 'registration-1',
        browser: 'tab',
        expiresAt: endOfToken(),
      });
    }
  });

  it('is refreshed later during a call', async () => {
    const { phone, device, goOnline } = setUp();
    await goOnline();
    phone.dial(THEIR_NUMBER);
    device().connecting.resolve(new FakeCall('OUTGOING'));
    await vi.advanceTimersByTimeAsync(0.95 * TOKEN_LIFE_MS - 1);
    expect(device().calls).not.toContain('updateToken token-2');
    await vi.advanceTimersByTimeAsync(1);
    expect(device().calls).toContain('updateToken token-2');
  });

  it('is asked for again, less and less often, while the server does not answer', async () => {
    const { server, device, state, goOnline } = setUp();
    await goOnline();
    server.requestAccessToken.mockClear();
    server.requestAccessToken.mockRejectedValueOnce(unreachable).mockRejectedValueOnce(unreachable);
    await vi.advanceTimersByTimeAsync(0.8 * TOKEN_LIFE_MS);
    expect(server.requestAccessToken).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(FIRST_WAIT_MS);
    expect(server.requestAccessToken).toHaveBeenCalledTimes(2);
    await vi.advanceTimersByTimeAsync(2 * FIRST_WAIT_MS - 1);
    expect(server.requestAccessToken).toHaveBeenCalledTimes(2);
    await vi.advanceTimersByTimeAsync(1);
    expect(server.requestAccessToken).toHaveBeenCalledTimes(3);
    expect(device().calls).toContain('updateToken token-2');
    expect(state().line.name).toBe('online');
  });

  it('is refreshed at a waking if it is due by then', async () => {
    const { server, environment, device, goOnline } = setUp();
    await goOnline();
    environment.handlers?.onWake();
    await settle();
    expect(server.requestAccessToken).toHaveBeenCalledOnce();
    // The timers of a machine that sleeps do not run.
    vi.setSystemTime(Date.now() + 0.9 * TOKEN_LIFE_MS);
    environment.handlers?.onWake();
    await settle();
    expect(device().calls).toContain('updateToken token-2');
  });

  it('is replaced when the server says that it has expired', async () => {
    const { server, device, live, goOnline } = setUp();
    await goOnline();
    server.register.mockRejectedValueOnce(new ApiError('pass_over', 'x', 409));
    live.open?.();
    await settle();
    expect(device().calls).toContain('updateToken token-2');
    expect(server.register).toHaveBeenCalledTimes(3);
  });

  it('is replaced, with the device, when another user signed in', async () => {
    const { phone, server, devices, device, goOnline } = setUp();
    await goOnline();
    server.requestAccessToken.mockResolvedValue(accessToken('theirs', 'other.tab'));
    phone.renewToken();
    await settle();
    expect(devices).toHaveLength(2);
    expect(devices[0]?.calls).toContain('destroy');
    expect(devices[0]?.calls).not.toContain('updateToken theirs');
    expect(device().token).toBe('theirs');
  });

  it('is replaced after the call that is in progress', async () => {
    const { phone, server, devices, device, goOnline } = setUp();
    await goOnline();
    const call = new FakeCall('OUTGOING');
    phone.dial(THEIR_NUMBER);
    device().connecting.resolve(call);
    await settle();
    server.requestAccessToken.mockResolvedValue(accessToken('theirs', 'other.tab'));
    phone.renewToken();
    await settle();
    expect(server.requestAccessToken).toHaveBeenCalledOnce();
    call.disconnect();
    await settle();
    expect(devices).toHaveLength(2);
    expect(device().token).toBe('theirs');
  });
});

describe('a lost connection', () => {
  it('is restored by the SDK', async () => {
    const { server, device, devices, state, goOnline } = setUp();
    await goOnline();
    device().becomeUnregistered();
    expect(state().line).toEqual({ name: 'lost', error: null });
    await vi.advanceTimersByTimeAsync(RECONNECTS_WITHIN_MS - 1);
    device().becomeRegistered();
    await settle();
    expect(state().line.name).toBe('online');
    expect(server.register).toHaveBeenCalledTimes(2);
    await vi.advanceTimersByTimeAsync(RECONNECTS_WITHIN_MS);
    expect(devices).toHaveLength(1);
  });

  it('is replaced by a new device after a while, until one registers', async () => {
    const { device, devices, state, goOnline } = setUp();
    await goOnline();
    device().becomeUnregistered();
    await vi.advanceTimersByTimeAsync(RECONNECTS_WITHIN_MS);
    expect(devices).toHaveLength(2);
    expect(devices[0]?.calls).toContain('destroy');
    await vi.advanceTimersByTimeAsync(RECONNECTS_WITHIN_MS);
    expect(devices).toHaveLength(3);
    device().becomeRegistered();
    await settle();
    expect(state().line.name).toBe('online');
  });

  it('is restored at a waking', async () => {
    const { device, devices, environment, goOnline } = setUp();
    await goOnline();
    device().becomeUnregistered();
    environment.handlers?.onWake();
    await settle();
    expect(devices).toHaveLength(2);
  });

  it('keeps the call in progress, and its device', async () => {
    const { phone, device, devices, state, goOnline } = setUp();
    await goOnline();
    const call = new FakeCall('OUTGOING');
    phone.dial(THEIR_NUMBER);
    device().connecting.resolve(call);
    await settle();
    call.emit('accept');
    device().becomeUnregistered();
    await vi.advanceTimersByTimeAsync(2 * RECONNECTS_WITHIN_MS);
    expect(devices).toHaveLength(1);
    expect(state().call?.stage.name).toBe('talking');
    call.disconnect();
    await settle();
    expect(devices).toHaveLength(2);
  });

  it('keeps the error, which is not one of a call', async () => {
    const { device, state, goOnline } = setUp();
    await goOnline();
    device().emit('error', { code: 31486 }, new FakeCall('OUTGOING'));
    expect(state().line.name).toBe('online');
    device().fail(31005);
    expect(state().line).toMatchObject({ name: 'lost', error: { cause: 'no-line', code: 31005 } });
  });

  it('gets another token, after a wait, if Twilio refuses the one in use', async () => {
    const { server, device, devices, goOnline } = setUp();
    await goOnline();
    device().state = 'unregistered';
    device().fail(20104);
    await vi.advanceTimersByTimeAsync(FIRST_WAIT_MS - 1);
    expect(server.requestAccessToken).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(server.requestAccessToken).toHaveBeenCalledTimes(2);
    expect(devices).toHaveLength(2);
    expect(device().token).toBe('token-2');
  });

  it('ignores the device that was replaced', async () => {
    const { device, devices, state, goOnline } = setUp();
    await goOnline();
    device().becomeUnregistered();
    await vi.advanceTimersByTimeAsync(RECONNECTS_WITHIN_MS);
    device().becomeRegistered();
    await settle();
    devices[0]?.becomeUnregistered();
    expect(state().line.name).toBe('online');
  });
});

describe('while it is online', () => {
  it('reports itself again to a server that restarted', async () => {
    const { server, live, goOnline } = setUp();
    await goOnline();
    live.open?.();
    await settle();
    expect(server.register).toHaveBeenCalledTimes(2);
  });

  it('unregisters when the page is suspended, and returns with a new token when it wakes', async () => {
    const { server, environment, device, goOnline } = setUp();
    await goOnline();
    environment.handlers?.onSuspend();
    expect(server.unregister).toHaveBeenCalledExactlyOnceWith('registration-1');
    environment.handlers?.onWake();
    await settle();
    expect(device().calls).toContain('updateToken token-2');
    expect(server.register).toHaveBeenLastCalledWith(
      expect.objectContaining({ id: 'registration-2' }),
    );
  });

  it('ignores a waking on its way online', async () => {
    const { phone, environment, state } = setUp();
    await phone.goOnline();
    environment.handlers?.onWake();
    await settle();
    expect(state().line.name).toBe('going-online');
  });

  it('takes another speaker at once, and another microphone during a call only', async () => {
    const { phone, environment, device, goOnline } = setUp();
    await goOnline();
    environment.handlers?.onSpeaker('desk');
    environment.handlers?.onMicrophone('headset');
    expect(device().calls.at(-1)).toBe('setSpeaker desk');
    const call = new FakeCall('OUTGOING');
    phone.dial(THEIR_NUMBER);
    device().connecting.resolve(call);
    await settle();
    environment.handlers?.onMicrophone('headset');
    expect(device().calls.at(-1)).toBe('setInputDevice headset');
    call.disconnect();
    await settle();
    expect(device().calls.at(-1)).toBe('unsetInputDevice');
  });

  it('tells subscribers of each change', async () => {
    const { phone, goOnline } = setUp();
    const lines: string[] = [];
    const unsubscribe = phone.store.subscribe(({ line }) => lines.push(line.name));
    await goOnline();
    phone.goOffline();
    unsubscribe();
    await goOnline();
    expect(lines).toEqual(['going-online', 'online', 'offline']);
  });
});
