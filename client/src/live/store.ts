/** The calls that this page listens to, and whether it hears. Outside of React; hooks at the end. */
import { useEffect } from 'react';
import { createStore, useStore } from 'zustand';
import { queries, sessionQuery } from '../api/queries';
import type { CallEvent } from '../api/types';
import { fold, type LiveCall } from './call';
import { Link, type LinkState } from './link';

/** A call that the server lets this page not hear. */
export interface Refusal {
  code: string;
  message: string;
}

interface LiveState {
  link: LinkState;
  calls: Readonly<Record<string, LiveCall>>;
  refusals: Readonly<Record<string, Refusal>>;
}

export const liveStore = createStore<LiveState>(() => ({ link: 'idle', calls: {}, refusals: {} }));

/** How many parts of the page listen to each call. */
const listeners = new Map<string, number>();

/** How long a call is kept after its last listener left: screens change hands. */
const KEPT_MS = 1_000;

const link = new Link({
  url: () => {
    const { protocol, host } = window.location;
    return `${protocol === 'https:' ? 'wss' : 'ws'}://${host}/ws/transcriptions`;
  },
  open: (url) => new WebSocket(url),
  placeOf: (callSid) => {
    const call = liveStore.getState().calls[callSid];
    return call && { offset: call.offset, epoch: call.epoch };
  },
  onEvent: hear,
  onRefusal: (callSid, code, message) => {
    if (!callSid) return;
    liveStore.setState(({ refusals }) => ({
      refusals: { ...refusals, [callSid]: { code, message } },
    }));
  },
  onState: (state) => {
    liveStore.setState({ link: state });
    if (state === 'signed-out') void queries.invalidateQueries({ queryKey: sessionQuery.queryKey });
  },
  chance: Math.random,
});

function hear(event: CallEvent) {
  liveStore.setState(({ calls }) => {
    const call = fold(calls[event.callSid], event);
    return call ? { calls: { ...calls, [event.callSid]: call } } : {};
  });
}

/** Begins to listen to a call; call what it returns to stop. */
export function listen(callSid: string): () => void {
  const count = listeners.get(callSid) ?? 0;
  listeners.set(callSid, count + 1);
  if (count === 0) {
    withoutRefusal(callSid);
    link.listen(callSid);
  }
  return () => {
    setTimeout(() => leave(callSid), KEPT_MS);
  };
}

function leave(callSid: string) {
  const count = (listeners.get(callSid) ?? 1) - 1;
  if (count > 0) {
    listeners.set(callSid, count);
    return;
  }
  listeners.delete(callSid);
  link.forget(callSid);
  liveStore.setState(({ calls: { [callSid]: _, ...calls } }) => ({ calls }));
}

/** Asks once more for a call that the server did not let this page hear. */
export function listenAgain(callSid: string) {
  if (!listeners.has(callSid)) return;
  withoutRefusal(callSid);
  link.listen(callSid);
}

function withoutRefusal(callSid: string) {
  liveStore.setState(({ refusals: { [callSid]: _, ...refusals } }) => ({ refusals }));
}

/** Listens while a page is there: it wakes with the machine, the network and the tab. */
export function keepAwake(): () => void {
  const wake = () => {
    if (document.visibilityState === 'visible') link.wake();
  };
  window.addEventListener('online', wake);
  window.addEventListener('pageshow', wake);
  document.addEventListener('visibilitychange', wake);
  return () => {
    window.removeEventListener('online', wake);
    window.removeEventListener('pageshow', wake);
    document.removeEventListener('visibilitychange', wake);
  };
}

/** Someone else uses the page now: nothing of the last user's stays. */
export function forgetCalls() {
  link.close();
  listeners.clear();
  liveStore.setState({ calls: {}, refusals: {} });
}

/**
 * A part of a call, kept up to date while the component is there; undefined until the first
 * snapshot. Select as little as you show: partials change ten times a second.
 */
export function useLiveCall<T>(
  callSid: string | undefined,
  select: (call: LiveCall) => T,
): T | undefined {
  useEffect(() => (callSid ? listen(callSid) : undefined), [callSid]);
  return useStore(liveStore, ({ calls }) => {
    const call = callSid ? calls[callSid] : undefined;
    return call && select(call);
  });
}

/** Why the server does not let this page hear a call, if so. */
export const useRefusal = (callSid: string | undefined) =>
  useStore(liveStore, ({ refusals }) => (callSid ? refusals[callSid] : undefined));

/** Whether the page hears. */
export const useLink = () => useStore(liveStore, ({ link }) => link);
