/** Watches what happens around the page that matters to the phone. */
import { readPreference, watchPreferences } from '../preferences/preferences';

export interface EnvironmentHandlers {
  /** Called when the page is closed or suspended; it may wake again. */
  onSuspend: () => void;
  /** Called when the machine wakes, the network returns, or the page becomes visible. */
  onWake: () => void;
  onMicrophone: (deviceId: string) => void;
  onSpeaker: (deviceId: string) => void;
}

/** Calls the handlers until the returned function is called. */
export function watchEnvironment(handlers: EnvironmentHandlers): () => void {
  const { onSuspend, onWake, onMicrophone, onSpeaker } = handlers;
  const onVisibility = () => {
    if (document.visibilityState === 'visible') onWake();
  };
  window.addEventListener('pagehide', onSuspend);
  window.addEventListener('online', onWake);
  window.addEventListener('pageshow', onWake);
  document.addEventListener('resume', onWake);
  document.addEventListener('visibilitychange', onVisibility);
  let microphone = readPreference('microphone');
  let speaker = readPreference('speaker');
  const stopPreferences = watchPreferences((chosen) => {
    if (chosen.microphone !== microphone) onMicrophone(chosen.microphone);
    if (chosen.speaker !== speaker) onSpeaker(chosen.speaker);
    ({ microphone, speaker } = chosen);
  });
  return () => {
    window.removeEventListener('pagehide', onSuspend);
    window.removeEventListener('online', onWake);
    window.removeEventListener('pageshow', onWake);
    document.removeEventListener('resume', onWake);
    document.removeEventListener('visibilitychange', onVisibility);
    stopPreferences();
  };
}
