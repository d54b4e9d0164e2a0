/** The live calls of this page, and the state of the link. Outside of React; the hooks are at the end. */
import { useEffect } from 'react';
import { createStore, useStore } from 'zustand';
import { api, unwrap } from '../api/client';
import { queries, sessionQuery } from '../api/queries';
import type { CallEvent } from '../api/types';
import { fold, type LiveCall } from './call';
import { Link, type LinkState } from './link';

/** Why the server refuses the events of a call. */
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

/** The listeners of each call. */
const listeners = new Map<string, Set<symbol>>();

/** A call is kept this long after its last listener left: the next screen may listen to it. */
const KEPT_MS = 1_000;

const link = new Link({
  url: () => {
    const { protocol, host } = window.location;
    return `${protocol === 'https:' ? 'wss' : 'ws'}://${host}/ws/transcriptions`;
  },
  open: (url) => new WebSocket(url),
  resumePointOf: (callSid) => {
    const call = liveStore.getState().calls[callSid];
    return call && { offset: call.offset, epoch: call.epoch };
  },
  onEvent: applyEvent,
  onRefusal: (callSid, code, message) => {
    liveStore.setState(({ refusals }) => ({
      refusals: { ...refusals, [callSid]: { code, message } },
    }));
  },
  onState: (state) => {
    liveStore.setState({ link: state });
    // A refused socket does not say why: the session may have ended.
    if (state === 'signed-out' || state === 'waiting') void checkSession();
  },
  random: Math.random,
});

/** Only a response counts: an unreachable server says nothing about the session. */
async function checkSession() {
  const session = await unwrap(api.GET('/api/session')).catch(() => undefined);
  if (!session) return;
  if (session.open || session.user) link.retrySignedOut();
  else queries.setQueryData(sessionQuery.queryKey, session);
}

function applyEvent(event: CallEvent) {
  if (liveStore.getState().refusals[event.callSid]) clearRefusal(event.callSid);
  liveStore.setState(({ calls }) => {
    const call = fold(calls[event.callSid], event);
    return call ? { calls: { ...calls, [event.callSid]: call } } : {};
  });
}

/** Listens to a call until the returned function is called. */
export function listen(callSid: string): () => void {
  const listener = Symbol(callSid);
  const others = listeners.get(callSid);
  if (others) others.add(listener);
  else {
    listeners.set(callSid, new Set([listener]));
    clearRefusal(callSid);
    link.listen(callSid);
  }
  return () => {
    setTimeout(() => leave(callSid, listener), KEPT_MS);
  };
}

/** Has no effect for a listener of an earlier user. */
function leave(callSid: string, listener: symbol) {
  const all = listeners.get(callSid);
  if (!all?.delete(listener) || all.size > 0) return;
  listeners.delete(callSid);
  link.forget(callSid);
  clearRefusal(callSid);
  liveStore.setState(({ calls: { [callSid]: _, ...calls } }) => ({ calls }));
}

/** Subscribes again to a call that the server refused. */
export function listenAgain(callSid: string) {
  if (!listeners.has(callSid)) return;
  clearRefusal(callSid);
  link.listen(callSid);
}

function clearRefusal(callSid: string) {
  liveStore.setState(({ refusals: { [callSid]: _, ...refusals } }) => ({ refusals }));
}

/** Wakes the link with the machine, the network and the tab. */
export function wakeLinkWithPage(): () => void {
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

/**
 * Keeps the link open until the returned function is called.
 *
 * @param onOpen called each time that the link opens, also after the server was unreachable
 */
export function holdLink(onOpen: () => void): () => void {
  const unsubscribe = liveStore.subscribe((now, before) => {
    if (now.link === 'open' && before.link !== 'open') onOpen();
  });
  link.hold();
  return () => {
    unsubscribe();
    link.release();
  };
}

/** Ends the wait of the link. Call it when the server is back or a user has signed in. */
export const wakeLink = () => link.wake();

/** Forgets all calls. Call it when another user takes over the page. */
export function forgetCalls() {
  link.close();
  listeners.clear();
  liveStore.setState({ calls: {}, refusals: {} });
}

/**
 * Selects from a live call; undefined until the first snapshot. Select no more than you show:
 * partials change ten times a second.
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

/** The refusal of a call, if any. */
export const useRefusal = (callSid: string | undefined) =>
  useStore(liveStore, ({ refusals }) => (callSid ? refusals[callSid] : undefined));

/** The state of the link. */
export const useLink = () => useStore(liveStore, ({ link }) => link);
