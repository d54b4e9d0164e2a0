import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { setPreference } from '../preferences/preferences';
import { watchEnvironment } from './environment';

const handlers = {
  onSuspend: vi.fn(),
  onWake: vi.fn(),
  onMicrophone: vi.fn(),
  onSpeaker: vi.fn(),
};
let stop: () => void;

beforeEach(() => {
  setPreference('microphone', '');
  setPreference('speaker', '');
  stop = watchEnvironment(handlers);
});
afterEach(() => {
  stop();
  vi.restoreAllMocks();
  vi.clearAllMocks();
});

it('reports that the page is suspended', () => {
  window.dispatchEvent(new Event('pagehide'));
  expect(handlers.onSuspend).toHaveBeenCalledOnce();
  expect(handlers.onWake).not.toHaveBeenCalled();
});

it.each([
  ['online', window],
  ['pageshow', window],
  ['resume', document],
] as const)('reports a waking on "%s"', (event, target) => {
  target.dispatchEvent(new Event(event));
  expect(handlers.onWake).toHaveBeenCalledOnce();
});

it('reports a waking when the page becomes visible, not when it is hidden', () => {
  const visibility = vi.spyOn(document, 'visibilityState', 'get');
  visibility.mockReturnValue('hidden');
  document.dispatchEvent(new Event('visibilitychange'));
  expect(handlers.onWake).not.toHaveBeenCalled();
  visibility.mockReturnValue('visible');
  document.dispatchEvent(new Event('visibilitychange'));
  expect(handlers.onWake).toHaveBeenCalledOnce();
});

it('reports each change of a chosen device once', () => {
  setPreference('microphone', 'headset');
  setPreference('speaker', 'desk');
  setPreference('ringtone', 'desk');
  expect(handlers.onMicrophone.mock.calls).toEqual([['headset']]);
  expect(handlers.onSpeaker.mock.calls).toEqual([['desk']]);
});

it('reports nothing once it is stopped', () => {
  stop();
  for (const event of ['pagehide', 'online', 'pageshow']) window.dispatchEvent(new Event(event));
  for (const event of ['resume', 'visibilitychange']) document.dispatchEvent(new Event(event));
  setPreference('microphone', 'headset');
  for (const handler of Object.values(handlers)) expect(handler).not.toHaveBeenCalled();
});
