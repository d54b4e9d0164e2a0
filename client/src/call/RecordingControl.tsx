/** The controls of the recording of a call, with its state. */
import type { RecordingStatus } from '../api/types';
import { useCallRecord } from '../callRecord/useCallRecord';
import { useShortcuts } from '../keys/shortcuts';
import { t } from '../strings';
import { Button } from '../ui/controls';
import { Icon, type IconName } from '../ui/icons';
import css from './RecordingControl.module.css';
import type { Command } from './recording';
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
  return <Controls recording={recording} isAnnounced={record?.announced} />;
}

function Controls({
  recording: { status, commands, isBusy, send },
  isAnnounced,
}: {
  recording: RecordingState;
  /** Whether the server announced the recording to the parties; undefined until known. */
  isAnnounced: boolean | undefined;
}) {
  const [first] = commands;
  useShortcuts(
    first && first !== 'stop'
      ? [{ keys: 'r', does: t.call.recording.keys[first], run: () => send(first) }]
      : [],
  );
  return (
    <fieldset className={css.recording} aria-label={t.call.recording.label} aria-busy={isBusy}>
      <Indicator status={status} isBusy={isBusy} isAnnounced={isAnnounced} />
      {commands.map((command) => (
        <Button
          key={command}
          icon={ICONS[command]}
          // Not `disabled`, which would move the focus while the request is pending.
          aria-disabled={isBusy || undefined}
          onClick={() => send(command)}
        >
          {t.call.recording[command]}
        </Button>
      ))}
    </fieldset>
  );
}

/** Rendered at all times, so that screen readers announce its changes. */
function Indicator({
  status,
  isBusy,
  isAnnounced,
}: {
  status: RecordingStatus | null;
  isBusy: boolean;
  isAnnounced: boolean | undefined;
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
        isAnnounced !== undefined && (
          <span className={css.about}>
            {isAnnounced ? t.call.recording.told : t.call.recording.notTold}
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
