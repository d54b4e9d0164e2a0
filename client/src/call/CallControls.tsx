/** The dock under a call that this page carries: mute, keys, devices, recording, and the way out. */
import { type ReactNode, useEffect, useEffectEvent, useState } from 'react';
import { useKeys } from '../keys/keys';
import { Devices } from '../phone/Devices';
import { Keypad } from '../phone/Keypad';
import { foldTalk, SILENT, watchLevel } from '../phone/level';
import { usePreference } from '../settings/preferences';
import { t } from '../strings';
import { Button, HiddenText } from '../ui/controls';
import { Confirm, Dialog } from '../ui/Dialog';
import { Icon, type IconName } from '../ui/icons';
import css from './CallControls.module.css';

interface CallControlsProps {
  /** Whom it is with, as people write it. */
  party: string;
  muted: boolean;
  /** Keys that were sent. */
  digits: string;
  /** Whether there is somebody to hear: before that one can only hang up. */
  connected: boolean;
  recording?: ReactNode;
  onMute: (muted: boolean) => void;
  onKeys: (keys: string) => void;
  onHangUp: () => void;
}

export function CallControls(props: CallControlsProps) {
  const { party, muted, digits, connected, recording, onMute, onKeys, onHangUp } = props;
  const [showsKeypad, setShowsKeypad] = useState(false);
  const [showsDevices, setShowsDevices] = useState(false);
  const [asks, setAsks] = useState(false);
  const { controls } = t.phone;
  const toggleMute = () => onMute(!muted);
  const toggleKeypad = () => setShowsKeypad((shown) => !shown);
  useKeys(
    [
      ...(connected
        ? [
            { keys: 'm', does: muted ? controls.unmute : controls.mute, run: toggleMute },
            { keys: 'k', does: controls.keypad, run: toggleKeypad },
          ]
        : []),
      { keys: 'Escape', does: controls.hangUp, run: () => setAsks(true) },
    ],
    controls.keys,
  );
  return (
    <section className={css.dock} aria-label={controls.label}>
      {muted && <MutedNotice />}
      {showsKeypad && <TouchTones digits={digits} onKeys={onKeys} />}
      <div className={css.buttons}>
        <DockButton
          icon={muted ? 'micOff' : 'mic'}
          label={muted ? controls.unmute : controls.mute}
          pressed={muted}
          disabled={!connected}
          onClick={toggleMute}
        />
        <DockButton
          icon="keypad"
          label={controls.keypad}
          pressed={showsKeypad}
          disabled={!connected}
          onClick={toggleKeypad}
        />
        <DockButton icon="speaker" label={controls.devices} onClick={() => setShowsDevices(true)} />
        {recording}
        <Button look="danger" icon="hangUp" className={css.hangUp ?? ''} onClick={onHangUp}>
          {controls.hangUp}
        </Button>
      </div>
      {showsDevices && (
        <Dialog title={t.phone.gate.devices} onClose={() => setShowsDevices(false)}>
          <Devices />
        </Dialog>
      )}
      {asks && (
        <Confirm
          title={controls.hangUpQuestion}
          action={controls.hangUp}
          onConfirm={onHangUp}
          onClose={() => setAsks(false)}
        >
          {controls.hangUpBody(party)}
        </Confirm>
      )}
    </section>
  );
}

function DockButton({
  icon,
  label,
  pressed,
  disabled = false,
  onClick,
}: {
  icon: IconName;
  label: string;
  pressed?: boolean;
  disabled?: boolean;
  onClick: () => void;
}) {
  return (
    <button
      type="button"
      className={css.button}
      data-on={pressed || undefined}
      aria-expanded={icon === 'keypad' ? pressed : undefined}
      disabled={disabled}
      onClick={onClick}
    >
      <Icon name={icon} size={24} />
      <span>{label}</span>
    </button>
  );
}

/** One forgets it: it is said, and said louder to whoever talks all the same. */
function MutedNotice() {
  const microphone = usePreference('microphone');
  const [talk, setTalk] = useState(SILENT);
  useEffect(
    () =>
      watchLevel(microphone, (level) => {
        setTalk((before) => foldTalk(before, level, performance.now()));
      }),
    [microphone],
  );
  const { muted, talkingWhileMuted } = t.phone.controls;
  return (
    <p className={css.muted} data-loud={talk.talks || undefined} role="status">
      <Icon name="micOff" />
      {talk.talks ? talkingWhileMuted : muted}
    </p>
  );
}

/** Keys for machines at the other end, also by the keyboard while they are shown. */
function TouchTones({ digits, onKeys }: { digits: string; onKeys: (keys: string) => void }) {
  const type = useEffectEvent((event: KeyboardEvent) => {
    const { target, key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || !/^[\d*#,]$/.test(key)) return;
    if (target instanceof Element && target.closest('input, textarea, select, dialog')) return;
    event.preventDefault();
    onKeys(key);
  });
  useEffect(() => {
    const hear = (event: KeyboardEvent) => type(event);
    window.addEventListener('keydown', hear);
    return () => window.removeEventListener('keydown', hear);
  }, []);
  const { sent, sentNone } = t.phone.controls;
  return (
    <div className={css.tones}>
      <p className={css.digits} role="status" data-none={digits === '' || undefined}>
        <HiddenText>{sent}: </HiddenText>
        {digits || sentNone}
      </p>
      <Keypad onKey={onKeys} />
    </div>
  );
}
