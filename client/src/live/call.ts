/**
 * What a listener knows of one call: the client channel's events, folded. Pure. The stories in
 * `fixtures/live/` say what must come out; the server's tests read the same files.
 */
import type {
  CallEvent,
  CallStatus,
  EndReason,
  EngineHealth,
  LanguageDoubt,
  Partial,
  RecordingStatus,
  Segment,
} from '../api/types';
import { type Lines, withoutOpen, withPartial, withSegment, withSnapshot } from './lines';

/** One call, as the channel tells it. Never changed in place. */
export interface LiveCall {
  readonly sid: string;
  /** Which life of the channel `offset` belongs to. */
  readonly epoch: number;
  /** The last event that was folded. */
  readonly offset: number;
  readonly status: CallStatus | null;
  readonly recording: RecordingStatus | null;
  /** Settled, in the order in which they settled. They only ever get more, but for a snapshot. */
  readonly segments: readonly Segment[];
  /** Not settled yet: the latest of each utterance, oldest first. */
  readonly partials: readonly Partial[];
  /** Both, as they stand on the page. */
  readonly lines: Lines;
  readonly engine: EngineHealth;
  /** How far the oldest waiting final is behind. */
  readonly lagMs: number;
  /** Who seems to speak another language than is written down. */
  readonly doubts: readonly LanguageDoubt[];
  /** Partials that this page was too slow for. */
  readonly partialsMissed: number;
  /** Why no more words come, if so. */
  readonly ended: EndReason | null;
}

/**
 * The call after one more event; the same object if it changes nothing. Before the first snapshot
 * there is no call, and other events are of none.
 */
export function fold(call: LiveCall | undefined, event: CallEvent): LiveCall | undefined {
  if (event.type === 'snapshot') {
    return {
      sid: event.callSid,
      epoch: event.epoch,
      offset: event.offset,
      status: event.status ?? null,
      recording: event.recording ?? null,
      segments: event.segments,
      partials: event.partials,
      lines: withSnapshot(call?.lines ?? [], event.segments, event.partials),
      engine: event.engine,
      lagMs: 0,
      doubts: event.doubts ?? [],
      partialsMissed: call?.partialsMissed ?? 0,
      ended: event.ended ?? null,
    };
  }
  if (!call) return undefined;
  // Heard already: two subscriptions may overlap. A notice has the offset of what came before it.
  if (event.offset <= call.offset && event.type !== 'engine') return call;
  const offset = event.offset;
  switch (event.type) {
    case 'partial':
      return {
        ...call,
        offset,
        partials: replacing(call.partials, event.partial),
        lines: withPartial(call.lines, event.partial),
      };
    case 'segment':
      return {
        ...call,
        offset,
        segments: [...call.segments, event.segment],
        partials: call.partials.filter((partial) => partial.segmentId !== event.segment.id),
        lines: withSegment(call.lines, event.segment),
      };
    case 'call':
      return { ...call, offset, status: event.status };
    case 'recording':
      return { ...call, offset, recording: event.status };
    case 'engine':
      return {
        ...call,
        offset,
        engine: event.health,
        lagMs: event.lagMs,
        partialsMissed: call.partialsMissed + event.partialsMissed,
      };
    case 'language':
      return { ...call, offset, doubts: event.doubts };
    case 'ended':
      return {
        ...call,
        offset,
        ended: event.reason,
        partials: [],
        lines: withoutOpen(call.lines),
      };
    default:
      // A kind that a newer server sends: it still counts.
      return { ...call, offset: (event satisfies never as CallEvent).offset };
  }
}

/** The partials with this one in the place of its segment's. */
function replacing(partials: readonly Partial[], next: Partial): readonly Partial[] {
  const at = partials.findIndex((partial) => partial.segmentId === next.segmentId);
  return at < 0 ? [...partials, next] : partials.with(at, next);
}
