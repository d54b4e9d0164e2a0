/**
 * How a call makes itself noticed: it sounds, shows a notice of the system's, and flashes in the
 * tab's title. Of the tabs of a browser that ring, one does so; what one of them decides, all do.
 */
import { t } from '../strings';
import { ring } from './sounds';

const TITLE_EVERY_MS = 1_000;

/** The tabs of this browser, among themselves. */
const CHANNEL = 'callburner.ringing';

export type Decision = 'answered' | 'rejected' | 'ignored';

/** What a tab decided about a call, by the name that all tabs know it by. */
interface Decided {
  decision: Decision;
  call: string;
}

const isDecided = (data: unknown): data is Decided =>
  typeof data === 'object' &&
  data !== null &&
  'call' in data &&
  typeof data.call === 'string' &&
  'decision' in data &&
  (data.decision === 'answered' || data.decision === 'rejected' || data.decision === 'ignored');

let channel: BroadcastChannel | undefined;

/** Hears what other tabs decide, until the returned function is called. */
export function hearDecisions(onDecision: (call: string, decision: Decision) => void): () => void {
  const mine = new BroadcastChannel(CHANNEL);
  mine.onmessage = ({ data }: MessageEvent<unknown>) => {
    if (isDecided(data)) onDecision(data.call, data.decision);
  };
  channel = mine;
  return () => {
    mine.close();
    if (channel === mine) channel = undefined;
  };
}

/** Tells the other tabs. */
export const decide = (call: string, decision: Decision) =>
  channel?.postMessage({ decision, call } satisfies Decided);

/** To be called while somebody presses something: browsers ask then. */
export function askForNotices() {
  if ('Notification' in window && Notification.permission === 'default')
    void Notification.requestPermission();
}

/**
 * Rings until the returned function is called: in this tab, or in another one that has the call as
 * well, and in this one once that is closed.
 *
 * @param call the name that all tabs know the call by
 */
export function announce(call: string, party: string): () => void {
  const stopped = new AbortController();
  let release = () => {};
  const stop = () => {
    stopped.abort();
    release();
  };
  const ringHere = () => {
    if (stopped.signal.aborted) return undefined;
    const quiet = [ring(), notify(call, party), flash(t.phone.incoming.flash(party))];
    return new Promise<void>((done) => {
      release = () => {
        for (const silence of quiet) silence();
        done();
      };
    });
  };
  // Browsers have no locks on pages that are not secure; those have no microphone either.
  if (navigator.locks)
    navigator.locks
      .request(`${CHANNEL}.${call}`, { signal: stopped.signal }, ringHere)
      .catch(() => undefined); // Given up while another tab rang.
  else void ringHere();
  return stop;
}

function notify(call: string, party: string): () => void {
  if (!('Notification' in window) || Notification.permission !== 'granted') return () => {};
  try {
    const notice = new Notification(t.phone.incoming.title, {
      body: party,
      tag: call,
      requireInteraction: true,
    });
    notice.onclick = () => {
      window.focus();
      notice.close();
    };
    return () => notice.close();
  } catch {
    return () => {}; // Some browsers let none but a service worker do it.
  }
}

function flash(text: string): () => void {
  let title = document.title;
  // Whoever goes to another screen meanwhile changes the title below.
  const show = () => {
    if (document.title !== text) title = document.title;
    document.title = text;
  };
  const hide = () => {
    if (document.title === text) document.title = title;
  };
  show();
  const timer = setInterval(() => (document.title === text ? hide() : show()), TITLE_EVERY_MS);
  return () => {
    clearInterval(timer);
    hide();
  };
}
