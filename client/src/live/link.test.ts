import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { CallEvent, ListenerRequest } from '../api/types';
import { FIRST_WAIT_MS, LONGEST_WAIT_MS } from './backoff';
import {
  Link,
  type LinkState,
  OPEN_WITHIN_MS,
  PING_EVERY_MS,
  PONG_WITHIN_MS,
  REFUSALS_MAX,
  type ResumePoint,
  STEADY_AFTER_MS,
} from './link';

const CALL = 'CA1';
const OTHER = 'CA2';

/** A fake WebSocket; the test plays the server. */
class Socket extends EventTarget implements Pick<WebSocket, 'send' | 'close'> {
  onopen: (() => void) | null = null;
  onmessage: ((message: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;
  readonly sent: ListenerRequest[] = [];
  isClosed = false;

  send(text: string) {
    this.sent.push(JSON.parse(text));
  }
  close() {
    this.isClosed = true;
  }
  tell(message: unknown) {
    this.onmessage?.({ data: typeof message === 'string' ? message : JSON.stringify(message) });
  }
}

/** A link that records its callbacks. */
function setUp(places: Record<string, ResumePoint> = {}) {
  const sockets: Socket[] = [];
  const states: LinkState[] = [];
  const events: CallEvent[] = [];
  const refusals: string[] = [];
  const link = new Link({
    url: () => `ws://server/${sockets.length}`,
    open: () => {
      const socket = new Socket();
      sockets.push(socket);
      return socket as unknown as WebSocket;
    },
    resumePointOf: (callSid) => places[callSid],
    onEvent: (event) => events.push(event),
    onRefusal: (callSid, code) => refusals.push(`${callSid} ${code}`),
    onState: (state) => states.push(state),
    random: () => 1,
  });
  const latest = () => {
    const socket = sockets.at(-1);
    if (!socket) throw new Error('the link opened no socket');
    return socket;
  };
  return { link, sockets, states, events, refusals, latest };
}

const ended = (callSid: string): CallEvent => ({
  callSid,
  offset: 1,
  type: 'ended',
  reason: 'stopped',
});

const refused = (callSid: string) => ({
  type: 'error',
  callSid,
  error: { code: 'no_such_call', message: 'there is no such call', requestId: 'r' },
});

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a link', () => {
  it('opens one socket for all calls, and subscribes to each from its beginning', () => {
    const { link, sockets, states, latest } = setUp();
    link.listen(CALL);
    link.listen(OTHER);
    expect(sockets).toHaveLength(1);
    expect(latest().sent).toEqual([]);
    latest().onopen?.();
    expect(latest().sent).toEqual([
      { type: 'subscribe', callSid: CALL },
      { type: 'subscribe', callSid: OTHER },
    ]);
    expect(states).toEqual(['connecting', 'open']);
  });

  it('resumes where it stopped', () => {
    const { link, latest } = setUp({ [CALL]: { offset: 17, epoch: 3 } });
    link.listen(CALL);
    latest().onopen?.();
    latest().onclose?.({ code: 1001 });
    vi.advanceTimersByTime(FIRST_WAIT_MS);
    latest().onopen?.();
    expect(latest().sent).toEqual([{ type: 'subscribe', callSid: CALL, offset: 17, epoch: 3 }]);
  });

  it('backs off, and resets the backoff after a steady connection', () => {
    const { link, sockets, latest } = setUp();
    link.listen(CALL);
    const waitFor = (ms: number) => {
      latest().onclose?.({ code: 1006 });
      const before = sockets.length;
      vi.advanceTimersByTime(ms - 1);
      expect(sockets).toHaveLength(before);
      vi.advanceTimersByTime(1);
      expect(sockets).toHaveLength(before + 1);
    };
    for (const seconds of [1, 2, 4, 8, 16]) waitFor(seconds * 1_000);
    waitFor(LONGEST_WAIT_MS);
    waitFor(LONGEST_WAIT_MS);
    latest().onopen?.();
    vi.advanceTimersByTime(STEADY_AFTER_MS);
    waitFor(FIRST_WAIT_MS);
  });

  it('gives up on a socket that neither opens nor closes', () => {
    const { link, sockets, states, latest } = setUp();
    link.listen(CALL);
    const first = latest();
    vi.advanceTimersByTime(OPEN_WITHIN_MS);
    expect(first.isClosed).toBe(true);
    expect(states.at(-1)).toBe('waiting');
    vi.advanceTimersByTime(FIRST_WAIT_MS);
    expect(sockets).toHaveLength(2);
    // Messages of the first socket are ignored now.
    expect([first.onopen, first.onmessage, first.onclose]).toEqual([null, null, null]);
  });

  it('detects a dead connection', () => {
    const { link, states, latest } = setUp();
    link.listen(CALL);
    latest().onopen?.();
    vi.advanceTimersByTime(PING_EVERY_MS);
    expect(latest().sent.at(-1)).toEqual({ type: 'ping' });
    vi.advanceTimersByTime(PONG_WITHIN_MS - 1);
    expect(states.at(-1)).toBe('open');
    vi.advanceTimersByTime(1);
    expect(states.at(-1)).toBe('waiting');
  });

  it('sends no ping while messages arrive, and accepts any message as a reply', () => {
    const { link, states, latest } = setUp();
    link.listen(CALL);
    latest().onopen?.();
    vi.advanceTimersByTime(PING_EVERY_MS - 1);
    latest().tell(ended(CALL));
    vi.advanceTimersByTime(PING_EVERY_MS - 1);
    expect(latest().sent).toHaveLength(1);
    vi.advanceTimersByTime(1);
    latest().tell({ type: 'pong' });
    vi.advanceTimersByTime(PONG_WITHIN_MS);
    expect(states.at(-1)).toBe('open');
  });

  it('ignores invalid messages', () => {
    const { link, events, latest } = setUp();
    link.listen(CALL);
    latest().onopen?.();
    for (const nonsense of ['', '{', 'null', '7', '[]', '{}']) latest().tell(nonsense);
    latest().onmessage?.({ data: new ArrayBuffer(1) });
    expect(events).toEqual([]);
    latest().tell(ended(CALL));
    expect(events).toEqual([ended(CALL)]);
  });
});

describe('a wake-up', () => {
  it('ends a wait', () => {
    const { link, sockets, latest } = setUp();
    link.listen(CALL);
    latest().onclose?.({ code: 1006 });
    link.wake();
    expect(sockets).toHaveLength(2);
    latest().onopen?.();
    vi.advanceTimersByTime(FIRST_WAIT_MS);
    expect(sockets).toHaveLength(2);
  });

  it('tests an open connection', () => {
    const { link, states, latest } = setUp();
    link.listen(CALL);
    latest().onopen?.();
    link.wake();
    expect(latest().sent.at(-1)).toEqual({ type: 'ping' });
    vi.advanceTimersByTime(PONG_WITHIN_MS);
    expect(states.at(-1)).toBe('waiting');
  });

  it('has no effect without calls', () => {
    const { link, sockets } = setUp();
    link.wake();
    expect(sockets).toEqual([]);
  });
});

describe('a rejected session', () => {
  const sentAway = () => {
    const all = setUp();
    all.link.listen(CALL);
    all.latest().onopen?.();
    all.latest().onclose?.({ code: 1008 });
    return all;
  };

  it('is not retried automatically', () => {
    const { sockets, states } = sentAway();
    vi.advanceTimersByTime(10 * LONGEST_WAIT_MS);
    expect(sockets).toHaveLength(1);
    expect(states.at(-1)).toBe('signed-out');
  });

  it('is retried by a wake-up or a new call', () => {
    const first = sentAway();
    first.link.wake();
    expect(first.sockets).toHaveLength(2);
    const second = sentAway();
    second.link.listen(OTHER);
    expect(second.sockets).toHaveLength(2);
  });

  it('is retried after a wait if the session is valid after all', () => {
    const { link, sockets, latest } = sentAway();
    link.retrySignedOut();
    expect(sockets).toHaveLength(1);
    vi.advanceTimersByTime(FIRST_WAIT_MS);
    latest().onopen?.();
    expect(latest().sent).toEqual([{ type: 'subscribe', callSid: CALL }]);
  });
});

describe('a refused call', () => {
  it('is retried before it is reported', () => {
    const { link, refusals, latest } = setUp();
    link.listen(CALL);
    latest().onopen?.();
    for (let refusal = 1; refusal <= REFUSALS_MAX; refusal++) {
      latest().tell(refused(CALL));
      expect(refusals).toEqual([]);
      vi.advanceTimersByTime(FIRST_WAIT_MS * 2 ** (refusal - 1));
      expect(latest().sent.filter(({ type }) => type === 'subscribe')).toHaveLength(refusal + 1);
    }
    latest().tell(refused(CALL));
    expect(refusals).toEqual([`${CALL} no_such_call`]);
    vi.advanceTimersByTime(PONG_WITHIN_MS);
    expect(latest().sent.filter(({ type }) => type === 'subscribe')).toHaveLength(REFUSALS_MAX + 1);
  });

  it('is not retried after it was forgotten', () => {
    const { link, latest } = setUp();
    link.listen(CALL);
    link.listen(OTHER);
    latest().onopen?.();
    latest().tell(refused(CALL));
    link.forget(CALL);
    vi.advanceTimersByTime(FIRST_WAIT_MS);
    expect(latest().sent.at(-1)).toEqual({ type: 'unsubscribe', callSid: CALL });
  });
});

describe('forgetting a call', () => {
  it('unsubscribes from it while another call remains', () => {
    const { link, events, latest } = setUp();
    link.listen(CALL);
    link.listen(OTHER);
    latest().onopen?.();
    link.forget(CALL);
    expect(latest().sent.at(-1)).toEqual({ type: 'unsubscribe', callSid: CALL });
    latest().tell(ended(CALL));
    latest().tell(ended(OTHER));
    expect(events).toEqual([ended(OTHER)]);
  });

  it('closes the socket after the last call', () => {
    const { link, sockets, states, latest } = setUp();
    link.listen(CALL);
    latest().onopen?.();
    link.forget(CALL);
    expect(latest().isClosed).toBe(true);
    expect(states.at(-1)).toBe('idle');
    vi.advanceTimersByTime(10 * LONGEST_WAIT_MS);
    expect(sockets).toHaveLength(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('keeps a held socket open, and reconnects it', () => {
    const { link, sockets, states, latest } = setUp();
    link.hold();
    latest().onopen?.();
    link.listen(CALL);
    link.forget(CALL);
    expect(latest().isClosed).toBe(false);
    latest().onclose?.({ code: 1006 });
    vi.advanceTimersByTime(FIRST_WAIT_MS);
    expect(sockets).toHaveLength(2);
    latest().onopen?.();
    expect(states).toEqual(['connecting', 'open', 'waiting', 'connecting', 'open']);
    link.listen(CALL);
    link.release();
    expect(latest().isClosed).toBe(false);
    link.forget(CALL);
    expect(latest().isClosed).toBe(true);
    expect(states.at(-1)).toBe('idle');
    // After `close`, for another user, nothing is left.
    link.hold();
    link.close();
    link.listen(CALL);
    link.forget(CALL);
    expect(states.at(-1)).toBe('idle');
  });
});
