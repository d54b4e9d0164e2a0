import { describe, expect, it } from 'vitest';
import { troubleOfCode } from './errors';
import { DIGITS_SHOWN_MAX, fold, INCOMING_MAX, type Phone, type PhoneEvent, QUIET } from './phone';

/** Each event a second after the one before. */
const told = (...events: PhoneEvent[]): Phone =>
  events.reduce((phone, event, n) => fold(phone, event, n * 1_000), QUIET);

const ONLINE: PhoneEvent[] = [{ type: 'going-online' }, { type: 'registered' }];
const DIALLED: PhoneEvent[] = [...ONLINE, { type: 'dialled', party: '+14155550123' }];
const RANG: PhoneEvent = {
  type: 'rang',
  incoming: { leg: 'CA2', sid: 'CA1', party: '+442079460000' },
};

const stageOf = (...events: PhoneEvent[]) => told(...events).call?.stage;

describe('the line', () => {
  it('is online once registered, and lost until it is again', () => {
    expect(told(...ONLINE).line).toEqual({ name: 'online' });
    const lost = told(...ONLINE, { type: 'line-lost', trouble: null });
    expect(lost.line.name).toBe('lost');
    expect(fold(lost, { type: 'registered' }, 9).line.name).toBe('online');
  });

  it('is on its way as long as it never was there', () => {
    const phone = told({ type: 'going-online' }, { type: 'line-lost', trouble: null });
    expect(phone.line.name).toBe('going-online');
  });

  it('keeps why it is lost', () => {
    const trouble = troubleOfCode(31005);
    const phone = told(
      ...ONLINE,
      { type: 'line-lost', trouble },
      { type: 'line-lost', trouble: null },
    );
    expect(phone.line).toEqual({ name: 'lost', trouble });
  });

  it('rings no more when it goes offline, and says why', () => {
    const trouble = troubleOfCode(31401);
    const phone = told(...ONLINE, RANG, { type: 'went-offline', trouble });
    expect(phone).toMatchObject({ line: { name: 'offline', trouble }, incoming: [] });
  });

  it('does not touch the call that goes on', () => {
    const phone = told(...DIALLED, { type: 'connected' }, { type: 'line-lost', trouble: null });
    expect(phone.call?.stage.name).toBe('talking');
  });
});

describe('a call that we make', () => {
  it('dials, rings, talks and ends', () => {
    expect(stageOf(...DIALLED)).toEqual({ name: 'dialling' });
    expect(stageOf(...DIALLED, { type: 'ringing' })).toEqual({ name: 'ringing' });
    const talking: PhoneEvent[] = [...DIALLED, { type: 'ringing' }, { type: 'connected' }];
    expect(stageOf(...talking)).toEqual({ name: 'talking', sinceMs: 4_000 });
    expect(stageOf(...talking, { type: 'ended', by: 'them', trouble: null })).toEqual({
      name: 'ended',
      by: 'them',
      trouble: null,
      talkedMs: 1_000,
    });
  });

  it('still rings while the server hears the other end ring, though Twilio answered', () => {
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
    expect(stageOf(...rings, { type: 'ended', by: 'them', trouble: null })).toMatchObject({
      talkedMs: 0,
    });
  });

  it('keeps its time while the sound is interrupted', () => {
    const lost: PhoneEvent[] = [...DIALLED, { type: 'connected' }, { type: 'interrupted' }];
    expect(stageOf(...lost)).toEqual({ name: 'reconnecting', sinceMs: 3_000 });
    expect(stageOf(...lost, { type: 'resumed' })).toEqual({ name: 'talking', sinceMs: 3_000 });
  });

  it('is the only one', () => {
    const phone = told(...DIALLED);
    expect(fold(phone, { type: 'dialled', party: '+1' }, 0)).toBe(phone);
  });

  it('changes no more once it is over, until it is put away', () => {
    const phone = told(...DIALLED, { type: 'ended', by: 'us', trouble: null });
    expect(fold(phone, { type: 'muted', muted: true }, 0)).toBe(phone);
    expect(fold(phone, { type: 'connected' }, 0)).toBe(phone);
    expect(fold(phone, { type: 'put-away' }, 0).call).toBeNull();
  });

  it('is not put away while it goes on', () => {
    const phone = told(...DIALLED);
    expect(fold(phone, { type: 'put-away' }, 0)).toBe(phone);
  });
});

describe('in a call', () => {
  const phone = told(...DIALLED, { type: 'connected' });
  const folded = (...events: PhoneEvent[]) =>
    events.reduce((before, event) => fold(before, event, 0), phone).call;

  it('shows the keys that were sent, and only so many', () => {
    expect(
      folded({ type: 'keys-sent', digits: '12' }, { type: 'keys-sent', digits: '#' })?.digits,
    ).toBe('12#');
    const many = Array.from(
      { length: 100 },
      (): PhoneEvent => ({ type: 'keys-sent', digits: '9' }),
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
    expect(fold(QUIET, { type: 'ringing' }, 0)).toBe(QUIET);
  });
});

describe('a call to us', () => {
  it('rings until it is accepted, and is the call then', () => {
    const phone = told(...ONLINE, RANG);
    expect(phone.incoming).toHaveLength(1);
    const answering = fold(phone, { type: 'accepted', leg: 'CA2' }, 0);
    expect(answering).toMatchObject({
      incoming: [],
      call: { direction: 'incoming', sid: 'CA1', party: '+442079460000' },
    });
    expect(fold(answering, { type: 'connected' }, 5).call?.stage).toEqual({
      name: 'talking',
      sinceMs: 5,
    });
  });

  it('stops to ring when it is gone, and cannot be accepted then', () => {
    const phone = told(...ONLINE, RANG, { type: 'rang-out', leg: 'CA2' });
    expect(phone.incoming).toEqual([]);
    expect(fold(phone, { type: 'accepted', leg: 'CA2' }, 0)).toBe(phone);
  });

  it('rings once, beside few others', () => {
    const others = Array.from(
      { length: 9 },
      (_, n): PhoneEvent => ({
        type: 'rang',
        incoming: { leg: `CA${n}`, sid: null, party: '' },
      }),
    );
    expect(told(...ONLINE, RANG, RANG).incoming).toHaveLength(1);
    expect(told(...ONLINE, ...others).incoming).toHaveLength(INCOMING_MAX);
  });

  it('talks whatever the server hears of its legs', () => {
    const phone = told(...ONLINE, RANG, { type: 'accepted', leg: 'CA2' }, { type: 'connected' });
    expect(fold(phone, { type: 'server-status', status: 'ringing' }, 0)).toBe(phone);
  });
});
