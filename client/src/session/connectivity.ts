/**
 * Tracks whether the server responds. Every request counts; after a failure, the server is probed
 * until it responds, and then all failed queries are fetched again.
 */
import { createStore, useStore } from 'zustand';
import { ApiError } from '../api/client';
import { queries } from '../api/queries';
import { backoffMs } from '../live/backoff';
import { liveStore, wakeLink } from '../live/store';

/** The interval between probes. */
const PROBE_EVERY_MS = 20_000;

/** The timeout of a probe. */
const PROBE_TIMEOUT_MS = 5_000;

interface Connectivity {
  readonly isReached: boolean;
  /** What the browser reports about the network; it may be wrong. */
  readonly isOnline: boolean;
}

const store = createStore<Connectivity>(() => ({ isReached: true, isOnline: navigator.onLine }));

export const useConnectivity = () => useStore(store);

export const readConnectivity = () => store.getState();

/** Tracks the server until the returned function is called. */
export function watchServer(): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isProbing = false;
  let failures = 0;

  const scheduleProbe = () => {
    clearTimeout(timer);
    const isHidden = document.visibilityState === 'hidden';
    const every = isHidden ? PROBE_EVERY_MS * 3 : PROBE_EVERY_MS;
    timer = setTimeout(probe, failures > 0 ? backoffMs(failures, Math.random()) : every);
  };
  const report = (isReached: boolean) => {
    const was = store.getState().isReached;
    failures = isReached ? 0 : failures + 1;
    if (was !== isReached) store.setState({ isReached });
    if (isReached && !was) onBack();
    scheduleProbe();
  };
  const probe = async () => {
    if (isProbing) return;
    isProbing = true;
    const isReached = await responds();
    isProbing = false;
    report(isReached);
  };
  const onNetwork = () => {
    store.setState({ isOnline: navigator.onLine });
    void probe();
  };
  const onVisibility = () => {
    if (document.visibilityState === 'visible') void probe();
  };

  const stops = [
    queries.getQueryCache().subscribe((event) => {
      if (event.type !== 'updated') return;
      const { action } = event;
      if (action.type === 'success' && !action.manual) report(true);
      else if (action.type === 'failed' && isUnreachable(action.error)) void probe();
    }),
    queries.getMutationCache().subscribe((event) => {
      if (event.type !== 'updated') return;
      const { action } = event;
      if (action.type === 'error' && isUnreachable(action.error)) void probe();
    }),
    // The link dropped: find out whether the server is gone, too.
    liveStore.subscribe(({ link }, before) => {
      if (link === 'waiting' && before.link !== 'waiting') void probe();
    }),
  ];
  window.addEventListener('online', onNetwork);
  window.addEventListener('offline', onNetwork);
  document.addEventListener('visibilitychange', onVisibility);
  scheduleProbe();
  return () => {
    clearTimeout(timer);
    window.removeEventListener('online', onNetwork);
    window.removeEventListener('offline', onNetwork);
    document.removeEventListener('visibilitychange', onVisibility);
    for (const stop of stops) stop();
  };
}

const isUnreachable = (error: unknown) => error instanceof ApiError && error.status === 0;

const responds = () =>
  fetch('/healthz', { cache: 'no-store', signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) }).then(
    ({ ok }) => ok,
    () => false,
  );

function onBack() {
  wakeLink();
  void queries.invalidateQueries();
}
