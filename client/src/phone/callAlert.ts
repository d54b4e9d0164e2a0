/** Alerts the user to a call: by sound, by a notification of the system, and in the tab's title. */
import { t } from '../strings';
import { ring } from './sounds';

/** Interval between the changes of the title. */
export const TITLE_CHANGES_EVERY_MS = 1_000;

/** Asks for the permission to notify. Call it in a user gesture, which browsers require. */
export function requestNotificationPermission() {
  if ('Notification' in window && Notification.permission === 'default')
    void Notification.requestPermission();
}

/** Alerts the user until the returned function is called. */
export function alertCall(callSid: string, party: string): () => void {
  const stops = [ring(), notify(callSid, party), flashTitle(t.phone.incoming.flash(party))];
  return () => {
    for (const stop of stops) stop();
  };
}

function notify(callSid: string, party: string): () => void {
  if (!('Notification' in window) || Notification.permission !== 'granted') return () => {};
  try {
    const notification = new Notification(t.phone.incoming.title, {
      body: party,
      tag: callSid,
      requireInteraction: true,
    });
    notification.onclick = () => {
      window.focus();
      notification.close();
    };
    return () => notification.close();
  } catch {
    return () => {}; // Some browsers allow notifications from service workers only.
  }
}

function flashTitle(text: string): () => void {
  let title = document.title;
  // Another screen may change the title below meanwhile.
  const show = () => {
    if (document.title !== text) title = document.title;
    document.title = text;
  };
  const hide = () => {
    if (document.title === text) document.title = title;
  };
  show();
  const timer = setInterval(
    () => (document.title === text ? hide() : show()),
    TITLE_CHANGES_EVERY_MS,
  );
  return () => {
    clearInterval(timer);
    hide();
  };
}
