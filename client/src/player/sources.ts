/** The audio sources of a call. Pure. */
import type { CallDetail } from '../api/types';

export interface Source {
  kind: 'archive' | 'recording';
  url: string;
  /** The time in the call at which the audio starts. */
  offsetMs: number;
  /** Whether `offsetMs` is exact; Twilio reports only seconds. */
  isExact: boolean;
}

/**
 * The archive of this server first, which shares the clock of the transcript; then the recordings at
 * Twilio. The start of a recording is known to the second, and its pauses are silent.
 */
export function sourcesOf(
  call: Pick<CallDetail, 'sid' | 'hasAudio' | 'startedAt' | 'recordings'>,
): Source[] {
  const sources: Source[] = call.recordings
    .filter((recording) => recording.status === 'completed')
    .map(({ sid, startedAt }) => ({
      kind: 'recording',
      url: `/api/recordings/${encodeURIComponent(sid)}/media`,
      offsetMs: startedAt ? Math.max(0, Date.parse(startedAt) - Date.parse(call.startedAt)) : 0,
      isExact: false,
    }));
  if (call.hasAudio)
    sources.unshift({
      kind: 'archive',
      url: `/api/calls/${encodeURIComponent(call.sid)}/audio`,
      offsetMs: 0,
      isExact: true,
    });
  return sources;
}
