import { describe, expect, it } from 'vitest';
import type { RecordingStatus } from '../api/types';
import { commandsOf } from './recording';

describe('a recording', () => {
  it.each<[RecordingStatus | null, string]>([
    [null, 'start'],
    ['in-progress', 'pause stop'],
    ['paused', 'resume stop'],
    ['stopped', 'start'],
    ['completed', 'start'],
    ['absent', 'start'],
    ['failed', 'start'],
  ])('with status %s has the commands: %s', (status, commands) => {
    expect(commandsOf(status).join(' ')).toBe(commands);
  });
});
