import { describe, expect, it } from 'vitest';
import { phoneErrorOfCode } from './errors';
import {
  DIGITS_SHOWN_MAX,
  fold,
  INCOMING_MAX,
  INITIAL_STATE,
  type PhoneEvent,
  type PhoneState,
} from './phoneState';

/** Returns the state after the events, which come a second apart. */
const stateAfter = (...events: PhoneEvent[]): PhoneState =>
  events.reduce((phone, event, n) => fold(phone, event, n * 1_000), INITIAL_STATE);

const ONLINE: PhoneEvent[] = [{ type: 'going-online' }, { type: 'registered' }];
const DIALLED: PhoneEvent[] = [...ONLINE, { type: 'dialled', party: '+14155550123' }];
const INCOMING: PhoneEvent = {
  type: 'incoming',
  call: { legSid: 'CA2', sid: 'CA1', party: '+442079460000' },
};

const stageOf = (...events: PhoneEvent[]) => stateAfter(...events).call?.stage;

describe('the line', () => {
  it('is online once registered, and lost until it is registered again', () => {
    expect(stateAfter(...ONLINE).line).toEqual({ name: 'online' });
    const lost = stateAfter(...ONLINE, { type: 'connection-lost', error: null });
    expect(lost.line.name).toBe('lost');
    expect(fold(lost, { type: 'registered' }, 9).line.name).toBe('online');
  });

  it('is going online until it was online once', () => {
    const phone = stateAfter({ type: 'going-online' }, { type: 'connection-lost', error: null });
    expect(phone.line.name).toBe('going-online');
  });

  it('keeps the error that it was lost with', () => {
    const error = phoneErrorOfCode(31005);
    const phone = stateAfter(
      ...ONLINE,
      { type: 'connection-lost', error },
      { type: 'connection-lost', error: null },
    );
    expect(phone.line).toEqual({ name: 'lost', error });
  });

  it('stops ringing when it goes offline, and keeps the error', () => {
    const error = phoneErrorOfCode(31401);
    const phone = stateAfter(...ONLINE, INCOMING, { type: 'went-offline', error });
    expect(phone).toMatchObject({ line: { name: 'offline', error }, incoming: [] });
  });

  it('leaves the call in progress alone when it is lost', () => {
    const phone = stateAfter(
      ...DIALLED,
      { type: 'connected' },
      { type: 'connection-lost', error: null },
    );
    expect(phone.call?.stage.name).toBe('talking');
  });
});

describe('an outgoing call', () => {
  it('dials, rings, talks and ends', () => {
    expect(stageOf(...DIALLED)).toEqual({ name: 'dialling' });
    expect(stageOf(...DIALLED, { type: 'ringing' })).toEqual({ name: 'ringing' });
    const talking: PhoneEvent[] = [...DIALLED, { type: 'ringing' }, { type: 'connected' }];
    expect(stageOf(...talking)).toEqual({ name: 'talking', sinceMs: 4_000 });
    expect(stageOf(...talking, { type: 'ended', by: 'them', error: null })).toEqual({
      name: 'ended',
      by: 'them',
      error: null,
      talkedMs: 1_000,
    });
  });

  it('rings while the server reports that the other end rings, though Twilio answered', () => {
    const rings: PhoneEvent[] = [
      ...DIALLED,
      { type: 'connected' },
      { type: 'server-status', status: 'ringing' },
    ];
    expect(stageOf(...rings)?.name).toBe('ringing');
    expect(stageOf(...rings, { type: 'server-status', status: 'in-progress' })).toEqual({
      name: 'talking',
      sinceMs: 5_000,
    });
    expect(stageOf(...rings, { type: 'ended', by: 'them', error: null })).toMatchObject({
      talkedMs: 0,
    });
  });

  it('keeps its duration while the connection is interrupted', () => {
    const lost: PhoneEvent[] = [...DIALLED, { type: 'connected' }, { type: 'reconnecting' }];
    expect(stageOf(...lost)).toEqual({ name: 'reconnecting', sinceMs: 3_000 });
    expect(stageOf(...lost, { type: 'reconnected' })).toEqual({ name: 'talking', sinceMs: 3_000 });
  });

  it('excludes another one', () => {
    const phone = stateAfter(...DIALLED);
    expect(fold(phone, { type: 'dialled', party: '+1' }, 0)).toBe(phone);
  });

  it('does not change after its end, until it is dismissed', () => {
    const phone = stateAfter(...DIALLED, { type: 'ended', by: 'us', error: null });
    expect(fold(phone, { type: 'muted', muted: true }, 0)).toBe(phone);
    expect(fold(phone, { type: 'connected' }, 0)).toBe(phone);
    expect(fold(phone, { type: 'dismissed' }, 0).call).toBeNull();
  });

  it('cannot be dismissed while it is in progress', () => {
    const phone = stateAfter(...DIALLED);
    expect(fold(phone, { type: 'dismissed' }, 0)).toBe(phone);
  });
});

describe('in a call', () => {
  const phone = stateAfter(...DIALLED, { type: 'connected' });
  const folded = (...events: PhoneEvent[]) =>
    events.reduce((before, event) => fold(before, event, 0), phone).call;

  it('shows the digits that were sent, up to a maximum', () => {
    expect(
      folded({ type: 'digits-sent', digits: '12' }, { type: 'digits-sent', digits: '#' })?.digits,
    ).toBe('12#');
    const many = Array.from(
      { length: 100 },
      (): PhoneEvent => ({ type: 'digits-sent', digits: '9' }),
    );
    expect(folded(...many)?.digits).toHaveLength(DIGITS_SHOWN_MAX);
  });

  it('holds each warning once, until it is cleared', () => {
    const warned: PhoneEvent = { type: 'warned', warning: 'high-rtt' };
    expect(folded(warned, warned)?.warnings).toEqual(['high-rtt']);
    expect(folded(warned, { type: 'warning-cleared', warning: 'high-rtt' })?.warnings).toEqual([]);
  });

  it('is the same object when nothing changes', () => {
    expect(fold(phone, { type: 'ringing' }, 0)).toBe(phone);
    expect(fold(INITIAL_STATE, { type: 'ringing' }, 0)).toBe(INITIAL_STATE);
  });
});

describe('an incoming call', () => {
  it('rings until it is accepted, then becomes the call of the page', () => {
    const phone = stateAfter(...ONLINE, INCOMING);
    expect(phone.incoming).toHaveLength(1);
    const answering = fold(phone, { type: 'accepted', legSid: 'CA2' }, 0);
    expect(answering).toMatchObject({
      incoming: [],
      call: { direction: 'incoming', sid: 'CA1', party: '+442079460000' },
    });
    expect(fold(answering, { type: 'connected' }, 5).call?.stage).toEqual({
      name: 'talking',
      sinceMs: 5,
    });
  });

  it('stops ringing when it ended, and cannot be accepted then', () => {
    const phone = stateAfter(...ONLINE, INCOMING, { type: 'incoming-ended', legSid: 'CA2' });
    expect(phone.incoming).toEqual([]);
    expect(fold(phone, { type: 'accepted', legSid: 'CA2' }, 0)).toBe(phone);
  });

  it('rings once, beside a limited number of others', () => {
    const others = Array.from(
      { length: 9 },
      (_, n): PhoneEvent => ({
        type: 'incoming',
        call: { legSid: `CA${n}`, sid: null, party: '' },
      }),
    );
    expect(stateAfter(...ONLINE, INCOMING, INCOMING).incoming).toHaveLength(1);
    expect(stateAfter(...ONLINE, ...others).incoming).toHaveLength(INCOMING_MAX);
  });

  it('stays connected whatever the server reports of its legs', () => {
    const phone = stateAfter(
      ...ONLINE,
      INCOMING,
      { type: 'accepted', legSid: 'CA2' },
      { type: 'connected' },
    );
    expect(fold(phone, { type: 'server-status', status: 'ringing' }, 0)).toBe(phone);
  });
});
