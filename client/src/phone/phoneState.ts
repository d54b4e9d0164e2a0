/**
 * The state of the phone: whether it can be called, its call, and the calls that ring. Pure: the time
 * is an argument; `phone.ts` dispatches the events.
 *
 *     offline ──► going-online ──► online ◄──► lost
 *
 *     dialling ──► ringing ──► talking ◄──► reconnecting      any of them ──► ended
 *                 answering ──┘
 */
import type { CallStatus, Direction } from '../api/types';
import type { PhoneError } from './errors';
import type { Sample, Warning } from './quality';

/** Digits that the page shows of those that were sent: the latest. */
export const DIGITS_SHOWN_MAX = 64;

/** Calls that may ring at once. */
export const INCOMING_MAX = 4;

/** Whether Twilio reaches this page. */
export type Line =
  | { readonly name: 'offline'; readonly error: PhoneError | null }
  | { readonly name: 'going-online' }
  | { readonly name: 'online' }
  /** It was online, and reconnects by itself. */
  | { readonly name: 'lost'; readonly error: PhoneError | null };

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
      readonly error: PhoneError | null;
      /** Duration of the conversation; 0 if the parties were never connected. */
      readonly talkedMs: number;
    };

/** The call of this page. */
export interface Call {
  readonly direction: Direction;
  /** The number or name of the other party. */
  readonly party: string;
  /** The SID that the server knows the call by, once known: that of its parent leg. */
  readonly sid: string | null;
  readonly stage: Stage;
  readonly muted: boolean;
  /** Digits that were sent, the latest last. */
  readonly digits: string;
  readonly warnings: readonly Warning[];
  readonly sample: Sample | null;
}

/** A call that rings here; during another call it waits. */
export interface RingingCall {
  /** The SID of its leg to this page. */
  readonly legSid: string;
  readonly sid: string | null;
  readonly party: string;
}

export interface PhoneState {
  readonly line: Line;
  readonly call: Call | null;
  /** The oldest first. */
  readonly incoming: readonly RingingCall[];
}

export const INITIAL_STATE: PhoneState = {
  line: { name: 'offline', error: null },
  call: null,
  incoming: [],
};

export type PhoneEvent =
  | { type: 'reset' }
  | { type: 'going-online' }
  | { type: 'registered' }
  /** The connection to Twilio is down, and is being restored. */
  | { type: 'connection-lost'; error: PhoneError | null }
  | { type: 'went-offline'; error: PhoneError | null }
  | { type: 'dialled'; party: string }
  | { type: 'incoming'; call: RingingCall }
  /** It stopped ringing here: answered elsewhere, rejected, ignored, or the caller hung up. */
  | { type: 'incoming-ended'; legSid: string }
  | { type: 'accepted'; legSid: string }
  | { type: 'sid-known'; sid: string }
  | { type: 'ringing' }
  | { type: 'connected' }
  /** The status of the call at the server changed. */
  | { type: 'server-status'; status: CallStatus }
  | { type: 'reconnecting' }
  | { type: 'reconnected' }
  | { type: 'muted'; muted: boolean }
  | { type: 'digits-sent'; digits: string }
  | { type: 'sampled'; sample: Sample }
  | { type: 'warned'; warning: Warning }
  | { type: 'warning-cleared'; warning: Warning }
  | { type: 'ended'; by: EndedBy; error: PhoneError | null }
  /** The user closed the summary of the call that ended. */
  | { type: 'dismissed' };

/** Applies an event to the state of the phone. */
export type Dispatch = (event: PhoneEvent) => void;

/** Returns the state after one more event; the same object if nothing changes. */
export function fold(state: PhoneState, event: PhoneEvent, nowMs: number): PhoneState {
  switch (event.type) {
    case 'reset':
      return INITIAL_STATE;
    case 'going-online':
      return state.line.name === 'offline' ? { ...state, line: { name: 'going-online' } } : state;
    case 'registered':
      return { ...state, line: { name: 'online' } };
    case 'connection-lost':
      return loseConnection(state, event.error);
    case 'went-offline':
      return { ...state, line: { name: 'offline', error: event.error }, incoming: [] };
    case 'dialled':
      return hasActiveCall(state) ? state : { ...state, call: newCall('outgoing', event.party) };
    case 'incoming':
      return addIncoming(state, event.call);
    case 'incoming-ended':
      return { ...state, incoming: state.incoming.filter(({ legSid }) => legSid !== event.legSid) };
    case 'accepted':
      return acceptIncoming(state, event.legSid);
    case 'dismissed':
      return state.call?.stage.name === 'ended' ? { ...state, call: null } : state;
    default:
      return changeCall(state, (call) => foldCall(call, event, nowMs));
  }
}

type NonCallEventType =
  | 'reset'
  | 'going-online'
  | 'registered'
  | 'connection-lost'
  | 'went-offline'
  | 'dialled'
  | 'incoming'
  | 'incoming-ended'
  | 'accepted'
  | 'dismissed';
type ActiveCallEvent = Exclude<PhoneEvent, { type: NonCallEventType }>;

function foldCall(call: Call, event: ActiveCallEvent, nowMs: number): Call {
  switch (event.type) {
    case 'sid-known':
      return call.sid === event.sid ? call : { ...call, sid: event.sid };
    case 'ringing':
      return call.stage.name === 'dialling' ? { ...call, stage: { name: 'ringing' } } : call;
    case 'connected':
      return { ...call, stage: { name: 'talking', sinceMs: nowMs } };
    case 'server-status':
      return foldServerStatus(call, event.status, nowMs);
    case 'reconnecting':
      return call.stage.name === 'talking'
        ? { ...call, stage: { ...call.stage, name: 'reconnecting' } }
        : call;
    case 'reconnected':
      return call.stage.name === 'reconnecting'
        ? { ...call, stage: { ...call.stage, name: 'talking' } }
        : call;
    case 'muted':
      return { ...call, muted: event.muted };
    case 'digits-sent':
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
      return endCall(call, event.by, event.error, nowMs);
  }
}

const newCall = (direction: Direction, party: string): Call => ({
  direction,
  party,
  sid: null,
  stage: { name: direction === 'outgoing' ? 'dialling' : 'answering' },
  muted: false,
  digits: '',
  warnings: [],
  sample: null,
});

/** Tells whether a call is in progress here. */
export const hasActiveCall = ({ call }: PhoneState): boolean =>
  call !== null && call.stage.name !== 'ended';

/** Returns when the parties were connected; null if they are not. */
export const talkingSinceMs = ({ stage }: Call): number | null =>
  stage.name === 'talking' || stage.name === 'reconnecting' ? stage.sinceMs : null;

function changeCall(state: PhoneState, change: (call: Call) => Call): PhoneState {
  if (!state.call || state.call.stage.name === 'ended') return state;
  const call = change(state.call);
  return call === state.call ? state : { ...state, call };
}

/** Before the page was ever online, it stays on its way there. */
function loseConnection(state: PhoneState, error: PhoneError | null): PhoneState {
  const { line } = state;
  if (line.name !== 'online' && line.name !== 'lost') return state;
  if (line.name === 'lost' && error === null) return state;
  return { ...state, line: { name: 'lost', error } };
}

function addIncoming(state: PhoneState, call: RingingCall): PhoneState {
  const others = state.incoming.filter(({ legSid }) => legSid !== call.legSid);
  return others.length < INCOMING_MAX ? { ...state, incoming: [...others, call] } : state;
}

function acceptIncoming(state: PhoneState, legSid: string): PhoneState {
  const incoming = state.incoming.find((other) => other.legSid === legSid);
  if (!incoming || hasActiveCall(state)) return state;
  return {
    ...state,
    call: { ...newCall('incoming', incoming.party), sid: incoming.sid },
    incoming: state.incoming.filter((other) => other !== incoming),
  };
}

/**
 * Twilio can answer the browser's leg while the other end still rings; the server knows the status of
 * the other leg.
 */
function foldServerStatus(call: Call, status: CallStatus, nowMs: number): Call {
  if (call.direction === 'incoming') return call;
  const { name } = call.stage;
  if (status === 'ringing' && (name === 'talking' || name === 'dialling'))
    return { ...call, stage: { name: 'ringing' } };
  if (status === 'in-progress' && name === 'ringing')
    return { ...call, stage: { name: 'talking', sinceMs: nowMs } };
  return call;
}

function endCall(call: Call, by: EndedBy, error: PhoneError | null, nowMs: number): Call {
  const sinceMs = talkingSinceMs(call);
  const talkedMs = sinceMs === null ? 0 : Math.max(0, nowMs - sinceMs);
  return { ...call, warnings: [], sample: null, stage: { name: 'ended', by, error, talkedMs } };
}
