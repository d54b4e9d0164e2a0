/** Drives the call that this page carries: from the Voice SDK and the server into the store. */
import { listen, liveStore } from '../live/store';
import { readPreference } from '../settings/preferences';
import type { Leg, LegEvent } from './device';
import { type Trouble, troubleOf } from './errors';
import { ringBack } from './sounds';
import { phoneStore, tell } from './store';

/** The call, and what is known of it that nobody shows. */
interface Carried {
  /** None yet while it is being made. */
  leg: Leg | null;
  hungUp: boolean;
  trouble: Trouble | null;
  stopRingBack: () => void;
  stopFollowing: () => void;
}

let carried: Carried | undefined;
let onOver = () => {};

/** Is told of the end of each call. */
export function whenOver(listener: () => void) {
  onOver = listener;
}

const silence = () => {};

/** Begins to carry a call that the store has already. */
function begin(): { take: (leg: Leg) => void; fail: (thrown: unknown) => void } {
  const call: Carried = {
    leg: null,
    hungUp: false,
    trouble: null,
    stopRingBack: silence,
    stopFollowing: silence,
  };
  carried = call;
  const end = () => {
    if (carried !== call) return;
    carried = undefined;
    call.stopRingBack();
    call.stopFollowing();
    const by = call.hungUp ? 'us' : call.trouble ? 'failure' : 'them';
    tell({ type: 'ended', by, trouble: call.trouble });
    onOver();
  };
  return {
    take: (leg) => {
      call.leg = leg;
      leg.hear((event) => hear(call, event, end));
      if (call.hungUp) leg.hangUp();
    },
    fail: (thrown) => {
      call.trouble = troubleOf(thrown);
      end();
    },
  };
}

/** Calls a number: `making` is the SDK's promise of it. */
export async function carryOutgoing(to: string, making: () => Promise<Leg>) {
  tell({ type: 'dialled', party: to });
  const call = begin();
  try {
    call.take(await making());
  } catch (thrown) {
    call.fail(thrown);
  }
}

/** Answers a call that rings. */
export function carryIncoming(leg: Leg, sid: string | null) {
  const call = begin();
  call.take(leg);
  if (sid) follow(sid);
  leg.accept(readPreference('microphone'));
}

function hear(call: Carried, event: LegEvent, end: () => void) {
  if (carried !== call) return;
  switch (event.type) {
    case 'named':
      tell(event);
      follow(event.sid);
      break;
    case 'ringing':
      tell(event);
      if (!event.hasSound && call.stopRingBack === silence) call.stopRingBack = ringBack();
      break;
    case 'connected':
      call.stopRingBack();
      call.stopRingBack = silence;
      tell(event);
      break;
    case 'failed':
      call.trouble = event.trouble;
      break;
    case 'over':
      // The error that ended it may come right behind.
      queueMicrotask(end);
      break;
    case 'interrupted':
    case 'resumed':
      call.trouble = null;
      tell(event);
      break;
    default:
      tell(event);
  }
}

/** Takes the server's word for how far the call is, from its first change on. */
function follow(sid: string) {
  const call = carried;
  if (!call || call.stopFollowing !== silence) return;
  let known = liveStore.getState().calls[sid]?.status ?? null;
  const leave = listen(sid);
  const unsubscribe = liveStore.subscribe(({ calls }) => {
    const status = calls[sid]?.status ?? null;
    if (status === known || status === null) return;
    // What a newcomer is told may be old: a call is written down as ringing.
    const isNews = known !== null || status === 'in-progress';
    known = status;
    if (isNews) tell({ type: 'server-status', status });
  });
  call.stopFollowing = () => {
    unsubscribe();
    leave();
  };
}

/** The server names a call otherwise than this page supposed. */
export function rename(sid: string) {
  tell({ type: 'named', sid });
  follow(sid);
}

/** Ends it; also one that is only being made. */
export function hangUp() {
  if (!carried) return;
  carried.hungUp = true;
  carried.leg?.hangUp();
}

export function setMuted(muted: boolean) {
  carried?.leg?.mute(muted);
}

/** Keys that a telephone has; a comma waits. */
const KEYS = /[^0-9*#w]/g;

/** Sends keys to the other end. */
export function sendKeys(typed: string) {
  const keys = typed.replaceAll(',', 'w').replace(KEYS, '');
  const stage = phoneStore.getState().call?.stage.name;
  if (!keys || !carried?.leg || (stage !== 'talking' && stage !== 'ringing')) return;
  carried.leg.sendKeys(keys);
  tell({ type: 'keys-sent', digits: keys.replaceAll('w', ',') });
}
