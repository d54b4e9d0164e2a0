import { afterEach, expect, it, vi } from 'vitest';
import { missingSupport, requestMicrophone } from './browserSupport';

/** Makes this browser one that supports everything, but for the overrides. */
function stubBrowser(overrides: Record<string, unknown> = {}) {
  const supported = {
    isSecureContext: true,
    RTCPeerConnection: class {},
    navigator: { mediaDevices: {} },
  };
  for (const [name, value] of Object.entries({ ...supported, ...overrides }))
    vi.stubGlobal(name, value);
}

afterEach(() => {
  vi.unstubAllGlobals();
});

it('finds nothing missing on a secure page of a current browser', () => {
  stubBrowser();
  expect(missingSupport()).toBeNull();
});

it.each([
  ['insecure-page', { isSecureContext: false }],
  ['no-webrtc', { RTCPeerConnection: undefined }],
  ['no-webrtc', { navigator: {} }],
])('reports %s where it is so: %o', (cause, overrides) => {
  stubBrowser(overrides);
  expect(missingSupport()?.cause).toBe(cause);
});

it('releases the microphone once the permission is there', async () => {
  const tracks = [{ stop: vi.fn() }, { stop: vi.fn() }];
  const getUserMedia = vi.fn(async () => ({ getTracks: () => tracks }));
  stubBrowser({ navigator: { mediaDevices: { getUserMedia } } });
  await requestMicrophone();
  expect(getUserMedia).toHaveBeenCalledExactlyOnceWith({ audio: true });
  for (const { stop } of tracks) expect(stop).toHaveBeenCalledOnce();
});
