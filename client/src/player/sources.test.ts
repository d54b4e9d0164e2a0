import { expect, it } from 'vitest';
import type { Recording } from '../api/types';
import { sourcesOf } from './sources';

const recording = (sid: string, status: Recording['status'], startedAt: string | null) => ({
  sid,
  status,
  startedAt,
  callSid: 'CA1',
});
const CALL = { sid: 'CA1', hasAudio: true, startedAt: '2026-11-25T10:00:00.400Z' };

it('lists the archive first, then the completed recordings with their start', () => {
  const recordings = [
    recording('RE1', 'completed', '2026-11-25T10:00:07Z'),
    recording('RE2', 'absent', null),
    recording('RE3', 'completed', '2026-11-25T10:00:00Z'),
  ];
  expect(sourcesOf({ ...CALL, recordings }).map(({ url, offsetMs }) => [url, offsetMs])).toEqual([
    ['/api/calls/CA1/audio', 0],
    ['/api/recordings/RE1/media', 6_600],
    // Twilio counts seconds: a recording may seem to start before its call.
    ['/api/recordings/RE3/media', 0],
  ]);
});

it('is empty without audio', () => {
  expect(sourcesOf({ ...CALL, hasAudio: false, recordings: [] })).toEqual([]);
});
