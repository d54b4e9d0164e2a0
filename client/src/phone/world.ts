/** What happens around the page that matters to a phone. */
import { readPreference, watchPreferences } from '../settings/preferences';

interface World {
  /** The page is closed, or put aside; it may wake again. */
  onGone: () => void;
  /** The machine woke, the network is back, or somebody looks. */
  onWake: () => void;
  onMicrophone: (deviceId: string) => void;
  onSpeaker: (deviceId: string) => void;
}

/** Tells until the returned function is called. */
export function hearWorld({ onGone, onWake, onMicrophone, onSpeaker }: World): () => void {
  const show = () => {
    if (document.visibilityState === 'visible') onWake();
  };
  window.addEventListener('pagehide', onGone);
  window.addEventListener('online', onWake);
  window.addEventListener('pageshow', onWake);
  document.addEventListener('resume', onWake);
  document.addEventListener('visibilitychange', show);
  let microphone = readPreference('microphone');
  let speaker = readPreference('speaker');
  const stopPreferences = watchPreferences((chosen) => {
    if (chosen.microphone !== microphone) onMicrophone(chosen.microphone);
    if (chosen.speaker !== speaker) onSpeaker(chosen.speaker);
    ({ microphone, speaker } = chosen);
  });
  return () => {
    window.removeEventListener('pagehide', onGone);
    window.removeEventListener('online', onWake);
    window.removeEventListener('pageshow', onWake);
    document.removeEventListener('resume', onWake);
    document.removeEventListener('visibilitychange', show);
    stopPreferences();
  };
}
