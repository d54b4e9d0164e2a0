/** Checks and requests what the phone needs of the browser. */
import { type PhoneError, phoneError } from './errors';

/** Returns why this page cannot be a phone; null if it can. */
export function missingSupport(): PhoneError | null {
  if (!window.isSecureContext) return phoneError('insecure-page');
  if (typeof RTCPeerConnection === 'undefined' || !navigator.mediaDevices)
    return phoneError('no-webrtc');
  return null;
}

/** Asks for the permission to use the microphone, before the first call needs it. */
export async function requestMicrophone() {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
  for (const track of stream.getTracks()) track.stop();
}
