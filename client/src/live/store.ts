/** The calls that this page listens to, and whether it hears. Outside of React; hooks at the end. */
import { useEffect } from 'react';
import { createStore, useStore } from 'zustand';
import { api, unwrap } from '../api/client';
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

/** Those parts of the page that listen to each call. */
const listeners = new Map<string, Set<symbol>>();

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
    liveStore.setState(({ refusals }) => ({
      refusals: { ...refusals, [callSid]: { code, message } },
    }));
  },
  onState: (state) => {
    liveStore.setState({ link: state });
    // A socket that is refused does not say why: perhaps nobody is signed in any more.
    if (state === 'signed-out' || state === 'waiting') void askWhoIsIn();
  },
  chance: Math.random,
});

/** Only an answer counts: that the server cannot be reached says nothing of the session. */
async function askWhoIsIn() {
  const session = await unwrap(api.GET('/api/session')).catch(() => undefined);
  if (!session) return;
  if (session.open || session.user) link.comeBack();
  else queries.setQueryData(sessionQuery.queryKey, session);
}

function hear(event: CallEvent) {
  if (liveStore.getState().refusals[event.callSid]) withoutRefusal(event.callSid);
  liveStore.setState(({ calls }) => {
    const call = fold(calls[event.callSid], event);
    return call ? { calls: { ...calls, [event.callSid]: call } } : {};
  });
}

/** Begins to listen to a call; call what it returns to stop. */
export function listen(callSid: string): () => void {
  const listener = Symbol(callSid);
  const others = listeners.get(callSid);
  if (others) others.add(listener);
  else {
    listeners.set(callSid, new Set([listener]));
    withoutRefusal(callSid);
    link.listen(callSid);
  }
  return () => {
    setTimeout(() => leave(callSid, listener), KEPT_MS);
  };
}

/** Without effect for a listener of a user before this one. */
function leave(callSid: string, listener: symbol) {
  const all = listeners.get(callSid);
  if (!all?.delete(listener) || all.size > 0) return;
  listeners.delete(callSid);
  link.forget(callSid);
  withoutRefusal(callSid);
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

/**
 * Keeps the line to the server open until the returned function is called.
 *
 * @param onOpen told each time that the line comes up: at first, and after the server was away
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

/** The server is back, or someone has signed in: a line that waits is tried at once. */
export const wakeLink = () => link.wake();

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
