/** What a call can be heard from. Pure. */
import type { CallDetail } from '../api/types';

export interface Source {
  kind: 'archive' | 'recording';
  url: string;
  /** Where on the call's clock its sound begins. */
  offsetMs: number;
  /** Whether `offsetMs` is to the millisecond, or as good as Twilio tells. */
  isExact: boolean;
}

/**
 * This server's own archive first, whose clock is that of the words; then Twilio's recordings. One
 * of those begins when it was started, to the second, and pauses in it are silence.
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
