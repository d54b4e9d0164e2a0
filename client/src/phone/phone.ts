/**
 * The telephone: whether it can be called, the call that it carries, and those that ring. Pure: the
 * time is an argument; what drives it is `driver.ts`.
 *
 *     offline ──► going-online ──► online ◄──► lost
 *
 *     dialling ──► ringing ──► talking ◄──► reconnecting      any of them ──► ended
 *                 answering ──┘
 */
import type { CallStatus, Direction } from '../api/types';
import type { Trouble } from './errors';
import type { Sample, Warning } from './quality';

/** Sent digits that are shown: the latest. */
export const DIGITS_SHOWN_MAX = 64;

/** Calls that may ring at once. */
export const INCOMING_MAX = 4;

/** Whether Twilio finds this page. */
export type Line =
  | { readonly name: 'offline'; readonly trouble: Trouble | null }
  | { readonly name: 'going-online' }
  | { readonly name: 'online' }
  /** It was online, and comes back by itself. */
  | { readonly name: 'lost'; readonly trouble: Trouble | null };

/** Who ended a call. */
export type EndedBy = 'us' | 'them' | 'failure';

export type Stage =
  | { readonly name: 'dialling' }
  | { readonly name: 'ringing' }
  | { readonly name: 'answering' }
  | { readonly name: 'talking'; readonly sinceMs: number }
  | { readonly name: 'reconnecting'; readonly sinceMs: number }
  | {
      readonly name: 'ended';
      readonly by: EndedBy;
      readonly trouble: Trouble | null;
      /** How long the parties talked; 0: not at all. */
      readonly talkedMs: number;
    };

/** The call that this page carries. */
export interface Call {
  readonly direction: Direction;
  /** The other's number, or name. */
  readonly party: string;
  /** What the server calls it: its parent leg's SID, once known. */
  readonly sid: string | null;
  readonly stage: Stage;
  readonly muted: boolean;
  /** Keys that were sent, the latest last. */
  readonly digits: string;
  readonly warnings: readonly Warning[];
  readonly sample: Sample | null;
}

/** A call that rings here; while another one goes on here, it waits beside that. */
export interface Incoming {
  /** Its leg to this page. */
  readonly leg: string;
  readonly sid: string | null;
  readonly party: string;
}

export interface Phone {
  readonly line: Line;
  readonly call: Call | null;
  /** The first to ring first. */
  readonly incoming: readonly Incoming[];
}

export const QUIET: Phone = { line: { name: 'offline', trouble: null }, call: null, incoming: [] };

export type PhoneEvent =
  | { type: 'going-online' }
  | { type: 'registered' }
  /** The line to Twilio is down; it is being mended. */
  | { type: 'line-lost'; trouble: Trouble | null }
  | { type: 'went-offline'; trouble: Trouble | null }
  | { type: 'dialled'; party: string }
  | { type: 'rang'; incoming: Incoming }
  /** It rings here no more: answered elsewhere, rejected, ignored, or the caller gave up. */
  | { type: 'rang-out'; leg: string }
  | { type: 'accepted'; leg: string }
  | { type: 'named'; sid: string }
  | { type: 'ringing' }
  | { type: 'connected' }
  /** What the server says of the call, when it changes. */
  | { type: 'server-status'; status: CallStatus }
  | { type: 'interrupted' }
  | { type: 'resumed' }
  | { type: 'muted'; muted: boolean }
  | { type: 'keys-sent'; digits: string }
  | { type: 'sampled'; sample: Sample }
  | { type: 'warned'; warning: Warning }
  | { type: 'warning-cleared'; warning: Warning }
  | { type: 'ended'; by: EndedBy; trouble: Trouble | null }
  | { type: 'put-away' };

/** The phone after one more event; the same object if it changes nothing. */
export function fold(phone: Phone, event: PhoneEvent, nowMs: number): Phone {
  switch (event.type) {
    case 'going-online':
      return phone.line.name === 'offline' ? { ...phone, line: { name: 'going-online' } } : phone;
    case 'registered':
      return { ...phone, line: { name: 'online' } };
    case 'line-lost':
      return lineLost(phone, event.trouble);
    case 'went-offline':
      return { ...phone, line: { name: 'offline', trouble: event.trouble }, incoming: [] };
    case 'dialled':
      return isCarrying(phone) ? phone : { ...phone, call: begin('outgoing', event.party) };
    case 'rang':
      return rang(phone, event.incoming);
    case 'rang-out':
      return { ...phone, incoming: phone.incoming.filter(({ leg }) => leg !== event.leg) };
    case 'accepted':
      return accepted(phone, event.leg);
    case 'put-away':
      return phone.call?.stage.name === 'ended' ? { ...phone, call: null } : phone;
    default:
      return inCall(phone, (call) => foldCall(call, event, nowMs));
  }
}

type LineEvent =
  | 'going-online'
  | 'registered'
  | 'line-lost'
  | 'went-offline'
  | 'dialled'
  | 'rang'
  | 'rang-out'
  | 'accepted'
  | 'put-away';
type CallEvent = Exclude<PhoneEvent, { type: LineEvent }>;

function foldCall(call: Call, event: CallEvent, nowMs: number): Call {
  switch (event.type) {
    case 'named':
      return call.sid === event.sid ? call : { ...call, sid: event.sid };
    case 'ringing':
      return call.stage.name === 'dialling' ? { ...call, stage: { name: 'ringing' } } : call;
    case 'connected':
      return { ...call, stage: { name: 'talking', sinceMs: nowMs } };
    case 'server-status':
      return followServer(call, event.status, nowMs);
    case 'interrupted':
      return call.stage.name === 'talking'
        ? { ...call, stage: { ...call.stage, name: 'reconnecting' } }
        : call;
    case 'resumed':
      return call.stage.name === 'reconnecting'
        ? { ...call, stage: { ...call.stage, name: 'talking' } }
        : call;
    case 'muted':
      return { ...call, muted: event.muted };
    case 'keys-sent':
      return { ...call, digits: (call.digits + event.digits).slice(-DIGITS_SHOWN_MAX) };
    case 'sampled':
      return { ...call, sample: event.sample };
    case 'warned':
      return call.warnings.includes(event.warning)
        ? call
        : { ...call, warnings: [...call.warnings, event.warning] };
    case 'warning-cleared':
      return { ...call, warnings: call.warnings.filter((warning) => warning !== event.warning) };
    case 'ended':
      return ended(call, event.by, event.trouble, nowMs);
  }
}

const begin = (direction: Direction, party: string): Call => ({
  direction,
  party,
  sid: null,
  stage: { name: direction === 'outgoing' ? 'dialling' : 'answering' },
  muted: false,
  digits: '',
  warnings: [],
  sample: null,
});

/** Whether a call goes on here. */
export const isCarrying = ({ call }: Phone): boolean =>
  call !== null && call.stage.name !== 'ended';

/** When the parties began to talk, if they do. */
export const talkingSinceMs = ({ stage }: Call): number | null =>
  stage.name === 'talking' || stage.name === 'reconnecting' ? stage.sinceMs : null;

function inCall(phone: Phone, change: (call: Call) => Call): Phone {
  if (!phone.call || phone.call.stage.name === 'ended') return phone;
  const call = change(phone.call);
  return call === phone.call ? phone : { ...phone, call };
}

/** Nobody gets through meanwhile; before it was ever online it stays on its way there. */
function lineLost(phone: Phone, trouble: Trouble | null): Phone {
  const { line } = phone;
  if (line.name !== 'online' && line.name !== 'lost') return phone;
  if (line.name === 'lost' && trouble === null) return phone;
  return { ...phone, line: { name: 'lost', trouble } };
}

function rang(phone: Phone, incoming: Incoming): Phone {
  const others = phone.incoming.filter(({ leg }) => leg !== incoming.leg);
  return others.length < INCOMING_MAX ? { ...phone, incoming: [...others, incoming] } : phone;
}

function accepted(phone: Phone, leg: string): Phone {
  const incoming = phone.incoming.find((other) => other.leg === leg);
  if (!incoming || isCarrying(phone)) return phone;
  return {
    ...phone,
    call: { ...begin('incoming', incoming.party), sid: incoming.sid },
    incoming: phone.incoming.filter((other) => other !== incoming),
  };
}

/**
 * The browser's leg can be answered by Twilio while the other end still rings; the server knows, by
 * what it hears of the other leg.
 */
function followServer(call: Call, status: CallStatus, nowMs: number): Call {
  if (call.direction === 'incoming') return call;
  const { name } = call.stage;
  if (status === 'ringing' && (name === 'talking' || name === 'dialling'))
    return { ...call, stage: { name: 'ringing' } };
  if (status === 'in-progress' && name === 'ringing')
    return { ...call, stage: { name: 'talking', sinceMs: nowMs } };
  return call;
}

function ended(call: Call, by: EndedBy, trouble: Trouble | null, nowMs: number): Call {
  const sinceMs = talkingSinceMs(call);
  const talkedMs = sinceMs === null ? 0 : Math.max(0, nowMs - sinceMs);
  return { ...call, warnings: [], sample: null, stage: { name: 'ended', by, trouble, talkedMs } };
}
