/** Starts, holds and ends a call's recording, and shows without a doubt whether one runs. */
import type { RecordingStatus } from '../api/types';
import { useKeys } from '../keys/keys';
import { t } from '../strings';
import { Button } from '../ui/controls';
import { Icon, type IconName } from '../ui/icons';
import css from './RecordingControl.module.css';
import type { Command } from './recording';
import { useCallRecord } from './useCallRecord';
import { type RecordingState, useRecording } from './useRecording';

const ICONS: Record<Command, IconName> = {
  start: 'record',
  pause: 'pause',
  resume: 'record',
  stop: 'stop',
};

export function RecordingControl({ callSid }: { callSid: string }) {
  const recording = useRecording(callSid);
  const { data: record } = useCallRecord(callSid);
  if (!recording) return null;
  return <Controls recording={recording} wasTold={record?.announced} />;
}

function Controls({
  recording: { status, commands, isBusy, ask },
  wasTold,
}: {
  recording: RecordingState;
  /** Whether the parties heard that they are recorded; undefined while that is not known. */
  wasTold: boolean | undefined;
}) {
  const [first] = commands;
  useKeys(
    first && first !== 'stop'
      ? [{ keys: 'r', does: t.call.recording.keys[first], run: () => ask(first) }]
      : [],
  );
  return (
    <fieldset className={css.recording} aria-label={t.call.recording.label} aria-busy={isBusy}>
      <Indicator status={status} isBusy={isBusy} wasTold={wasTold} />
      {commands.map((command) => (
        <Button
          key={command}
          icon={ICONS[command]}
          // Not `disabled`: the focus stays where it is while the answer is on its way.
          aria-disabled={isBusy || undefined}
          onClick={() => ask(command)}
        >
          {t.call.recording[command]}
        </Button>
      ))}
    </fieldset>
  );
}

/** There all the time, so that its changes are read aloud. */
function Indicator({
  status,
  isBusy,
  wasTold,
}: {
  status: RecordingStatus | null;
  isBusy: boolean;
  wasTold: boolean | undefined;
}) {
  const state = stateOf(status);
  return (
    <div className={css.state} role="status" data-state={status ?? undefined}>
      {state && (
        <strong className={css.name}>
          <Icon name={status === 'paused' ? 'pause' : 'record'} size={16} />
          {state}
        </strong>
      )}
      {isBusy ? (
        <span className={css.about}>{t.call.recording.busy}</span>
      ) : (
        state &&
        wasTold !== undefined && (
          <span className={css.about}>
            {wasTold ? t.call.recording.told : t.call.recording.notTold}
          </span>
        )
      )}
    </div>
  );
}

function stateOf(status: RecordingStatus | null): string | undefined {
  switch (status) {
    case 'in-progress':
      return t.call.recording.on;
    case 'paused':
      return t.call.recording.paused;
    case 'stopped':
    case 'completed':
      return t.call.recording.stopped;
    case 'failed':
      return t.call.recording.failed;
    case 'absent':
    case null:
      return undefined;
    default:
      return status satisfies never;
  }
}
