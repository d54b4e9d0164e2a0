/**
 * The state of one live call, reduced from its events. Pure. The fixtures in `fixtures/live/` define
 * the expected states; the tests of the server read the same files.
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

/** The state of one call. Immutable. */
export interface LiveCall {
  readonly sid: string;
  /** The epoch of the channel that `offset` counts in. */
  readonly epoch: number;
  /** The offset of the last event. */
  readonly offset: number;
  readonly status: CallStatus | null;
  readonly recording: RecordingStatus | null;
  /** The final segments, in the order in which they became final. Only a snapshot removes any. */
  readonly segments: readonly Segment[];
  /** The latest partial of each utterance that is not final, oldest first. */
  readonly partials: readonly Partial[];
  /** Both, in page order. */
  readonly lines: Lines;
  readonly engine: EngineHealth;
  /** The delay of the oldest final that is still to come. */
  readonly lagMs: number;
  /** The speakers who seem to speak another language than the server transcribes. */
  readonly doubts: readonly LanguageDoubt[];
  /** The number of partials that the server skipped because this page was too slow. */
  readonly partialsMissed: number;
  /** Why the transcription ended; null while it continues. */
  readonly ended: EndReason | null;
}

/**
 * Applies one event; returns the same object if nothing changes. Events before the first snapshot
 * are ignored.
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
  // Already applied: two subscriptions may overlap. An `engine` event repeats the previous offset.
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
      // An unknown event of a newer server still advances the offset.
      return { ...call, offset: (event satisfies never as CallEvent).offset };
  }
}

/** Replaces the partial of the same segment, or appends it. */
function replacing(partials: readonly Partial[], next: Partial): readonly Partial[] {
  const at = partials.findIndex((partial) => partial.segmentId === next.segmentId);
  return at < 0 ? [...partials, next] : partials.with(at, next);
}
