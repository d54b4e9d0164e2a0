/**
 * Whether the server answers. Every request tells; while none does, the server is asked until it
 * answers, and then everything that failed is asked for again.
 */
import { createStore, useStore } from 'zustand';
import { ApiError } from '../api/client';
import { queries } from '../api/queries';
import { waitMs } from '../live/backoff';
import { liveStore, wakeLink } from '../live/store';

/** A page that asks for nothing asks this often whether the server is there. */
const LOOK_EVERY_MS = 20_000;

/** An answer that takes longer is none. */
const ANSWER_WITHIN_MS = 5_000;

interface Reach {
  readonly isReached: boolean;
  /** What the browser says of the network; it may be wrong both ways. */
  readonly isOnline: boolean;
}

const store = createStore<Reach>(() => ({ isReached: true, isOnline: navigator.onLine }));

export const useReach = () => useStore(store);

export const readReach = () => store.getState();

/** Looks after the server until the returned function is called. */
export function watchServer(): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isLooking = false;
  let failures = 0;

  const next = () => {
    clearTimeout(timer);
    const isQuiet = document.visibilityState === 'hidden';
    const every = isQuiet ? LOOK_EVERY_MS * 3 : LOOK_EVERY_MS;
    timer = setTimeout(look, failures > 0 ? waitMs(failures, Math.random()) : every);
  };
  const note = (isReached: boolean) => {
    const was = store.getState().isReached;
    failures = isReached ? 0 : failures + 1;
    if (was !== isReached) store.setState({ isReached });
    if (isReached && !was) comeBack();
    next();
  };
  const look = async () => {
    if (isLooking) return;
    isLooking = true;
    const isThere = await answers();
    isLooking = false;
    note(isThere);
  };
  const onNetwork = () => {
    store.setState({ isOnline: navigator.onLine });
    void look();
  };
  const onSight = () => {
    if (document.visibilityState === 'visible') void look();
  };

  const stops = [
    queries.getQueryCache().subscribe((event) => {
      if (event.type !== 'updated') return;
      const { action } = event;
      if (action.type === 'success' && !action.manual) note(true);
      else if (action.type === 'failed' && isUnreachable(action.error)) void look();
    }),
    queries.getMutationCache().subscribe((event) => {
      if (event.type !== 'updated') return;
      const { action } = event;
      if (action.type === 'error' && isUnreachable(action.error)) void look();
    }),
    // The line dropped: the server, or only the line?
    liveStore.subscribe(({ link }, before) => {
      if (link === 'waiting' && before.link !== 'waiting') void look();
    }),
  ];
  window.addEventListener('online', onNetwork);
  window.addEventListener('offline', onNetwork);
  document.addEventListener('visibilitychange', onSight);
  next();
  return () => {
    clearTimeout(timer);
    window.removeEventListener('online', onNetwork);
    window.removeEventListener('offline', onNetwork);
    document.removeEventListener('visibilitychange', onSight);
    for (const stop of stops) stop();
  };
}

const isUnreachable = (error: unknown) => error instanceof ApiError && error.status === 0;

const answers = () =>
  fetch('/healthz', { cache: 'no-store', signal: AbortSignal.timeout(ANSWER_WITHIN_MS) }).then(
    ({ ok }) => ok,
    () => false,
  );

function comeBack() {
  wakeLink();
  void queries.invalidateQueries();
}
