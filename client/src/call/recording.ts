/** The commands for the recording of a call, by its status. Pure. */
import type { RecordingStatus } from '../api/types';

export type Command = 'start' | 'pause' | 'resume' | 'stop';

/** The available commands; the shortcut runs the first one. */
export function commandsOf(status: RecordingStatus | null): readonly Command[] {
  switch (status) {
    case 'in-progress':
      return ['pause', 'stop'];
    case 'paused':
      return ['resume', 'stop'];
    case null:
    case 'stopped':
    case 'completed':
    case 'absent':
    case 'failed':
      return ['start'];
    default:
      return status satisfies never;
  }
}

/** Whether the error code means that recording is not available at all: there is no account. */
export const isRecordingUnavailable = (code: string | undefined) => code === 'twilio_not_set_up';
