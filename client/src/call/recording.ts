/** What can be done with a call's recording, as the server has it. Pure. */
import type { RecordingStatus } from '../api/types';

export type Command = 'start' | 'pause' | 'resume' | 'stop';

/** What one may do; the first is what the shortcut does. */
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

/** Answers after which it makes no sense to offer recording: there is no account to ask. */
export const isUnavailable = (code: string | undefined) => code === 'twilio_not_set_up';
