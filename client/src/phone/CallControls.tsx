/** Controls the call of this page: mute, keypad, devices, recording, and hanging up. */
import { type ReactNode, useEffect, useEffectEvent, useState } from 'react';
import { useShortcuts } from '../keys/shortcuts';
import { usePreference } from '../preferences/preferences';
import { t } from '../strings';
import { Button, HiddenText } from '../ui/controls';
import { Confirm, Dialog } from '../ui/Dialog';
import { Icon, type IconName } from '../ui/icons';
import css from './CallControls.module.css';
import { Devices } from './Devices';
import { Keypad } from './Keypad';
import { foldTalk, SILENT, watchLevel } from './microphoneLevel';

interface CallControlsProps {
  /** The other party, formatted. */
  party: string;
  muted: boolean;
  /** Digits that were sent. */
  digits: string;
  /** Whether sound gets through; before that the user can only hang up. */
  connected: boolean;
  recording?: ReactNode;
  onMute: (muted: boolean) => void;
  onDigits: (digits: string) => void;
  onHangUp: () => void;
}

export function CallControls(props: CallControlsProps) {
  const { party, muted, digits, connected, recording, onMute, onDigits, onHangUp } = props;
  const [showsKeypad, setShowsKeypad] = useState(false);
  const [showsDevices, setShowsDevices] = useState(false);
  const [asks, setAsks] = useState(false);
  const { controls } = t.phone;
  const toggleMute = () => onMute(!muted);
  const toggleKeypad = () => setShowsKeypad((shown) => !shown);
  const askToHangUp = () => setAsks(true);
  useCallKeys({ muted, connected, toggleMute, toggleKeypad, askToHangUp });
  return (
    <section className={css.dock} aria-label={controls.label}>
      {muted && <MutedNotice />}
      {showsKeypad && <TouchTones digits={digits} onDigits={onDigits} />}
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
        <Dialog title={t.phone.offline.devices} onClose={() => setShowsDevices(false)}>
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

/** Registers the keyboard shortcuts of a call. */
function useCallKeys(call: {
  muted: boolean;
  connected: boolean;
  toggleMute: () => void;
  toggleKeypad: () => void;
  askToHangUp: () => void;
}) {
  const { muted, connected, toggleMute, toggleKeypad, askToHangUp } = call;
  const { controls } = t.phone;
  useShortcuts(
    [
      ...(connected
        ? [
            { keys: 'm', does: muted ? controls.unmute : controls.mute, run: toggleMute },
            { keys: 'k', does: controls.keypad, run: toggleKeypad },
          ]
        : []),
      { keys: 'Escape', does: controls.hangUp, run: askToHangUp },
    ],
    controls.keys,
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

/** Reminds the user that the microphone is muted, more loudly if they speak. */
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

/** Shows the keypad for DTMF tones; meanwhile the keyboard types them too. */
function TouchTones({ digits, onDigits }: { digits: string; onDigits: (digits: string) => void }) {
  const type = useEffectEvent((event: KeyboardEvent) => {
    const { target, key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || !/^[\d*#,]$/.test(key)) return;
    if (target instanceof Element && target.closest('input, textarea, select, dialog')) return;
    event.preventDefault();
    onDigits(key);
  });
  useEffect(() => {
    const onKeyDown = (event: KeyboardEvent) => type(event);
    window.addEventListener('keydown', onKeyDown);
    return () => window.removeEventListener('keydown', onKeyDown);
  }, []);
  const { sent, sentNone } = t.phone.controls;
  return (
    <div className={css.tones}>
      <p className={css.digits} role="status" data-none={digits === '' || undefined}>
        <HiddenText>{sent}: </HiddenText>
        {digits || sentNone}
      </p>
      <Keypad onKey={onDigits} />
    </div>
  );
}
