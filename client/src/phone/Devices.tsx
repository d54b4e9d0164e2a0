/** Which microphone hears, and where calls and their ringing sound. */
import { useEffect, useState } from 'react';
import { setPreference, usePreference } from '../settings/preferences';
import { t } from '../strings';
import { Button, Meter, Select } from '../ui/controls';
import css from './Devices.module.css';
import { type Trouble, troubleOf } from './errors';
import { watchLevel } from './level';
import { Problem } from './Problem';
import { playRingtoneOnce, playTest } from './sounds';

/** What is plugged in. */
interface Plugged {
  inputs: readonly MediaDeviceInfo[];
  outputs: readonly MediaDeviceInfo[];
}

const NOTHING: Plugged = { inputs: [], outputs: [] };

/** The meter rises at once, and falls by so much each time: one sees where it was. */
const FALLS_BY = 0.05;

/** The browser's names for "whatever the system uses". */
const isReal = ({ deviceId }: MediaDeviceInfo) =>
  !['', 'default', 'communications'].includes(deviceId);

export function Devices() {
  const [isOpen, setIsOpen] = useState(0);
  const { inputs, outputs } = usePlugged(isOpen);
  const microphone = usePreference('microphone');
  const { devices } = t.phone;
  const canChoose = 'setSinkId' in HTMLMediaElement.prototype;
  return (
    <div className={css.devices}>
      <Picker label={devices.microphone} devices={inputs} of="microphone" />
      {/* A new one for each microphone: it begins anew. */}
      <LevelMeter
        key={microphone}
        microphone={microphone}
        onOpen={() => setIsOpen((count) => count + 1)}
      />
      {canChoose ? (
        <>
          <Picker label={devices.speaker} devices={outputs} of="speaker" />
          <Button icon="speaker" onClick={playTest}>
            {devices.test}
          </Button>
          <Picker label={devices.ringtone} devices={outputs} of="ringtone" />
          <Button icon="bell" onClick={playRingtoneOnce}>
            {devices.testRing}
          </Button>
        </>
      ) : (
        <>
          <p className={css.note}>{devices.noChoice}</p>
          <Button icon="speaker" onClick={playTest}>
            {devices.test}
          </Button>
        </>
      )}
    </div>
  );
}

function Picker({
  label,
  devices,
  of,
}: {
  label: string;
  devices: readonly MediaDeviceInfo[];
  of: 'microphone' | 'speaker' | 'ringtone';
}) {
  const chosen = usePreference(of);
  const { system, unnamed, lost } = t.phone.devices;
  const options = devices.map(({ deviceId, label: name }, n) => ({
    value: deviceId,
    label: name || unnamed(n + 1),
  }));
  const isLost = devices.length > 0 && chosen !== '' && !devices.some(has(chosen));
  return (
    <Select
      label={label}
      value={isLost ? '' : chosen}
      options={[{ value: '', label: system }, ...options]}
      onChange={(deviceId) => setPreference(of, deviceId)}
      {...(isLost && { hint: lost })}
    />
  );
}

const has =
  (chosen: string) =>
  ({ deviceId }: MediaDeviceInfo) =>
    deviceId === chosen;

/** Shows that the microphone hears. Opening it makes the browser tell the devices' names. */
function LevelMeter({ microphone, onOpen }: { microphone: string; onOpen: () => void }) {
  const [level, setLevel] = useState<number>();
  const [trouble, setTrouble] = useState<Trouble>();
  const isOpen = level !== undefined;
  useEffect(
    () =>
      watchLevel(
        microphone,
        (now) => setLevel((before = 0) => Math.max(now, before - FALLS_BY)),
        (thrown) => setTrouble(troubleOf(thrown)),
      ),
    [microphone],
  );
  // biome-ignore lint/correctness/useExhaustiveDependencies: once, when the first level comes
  useEffect(() => {
    if (isOpen) onOpen();
  }, [isOpen]);
  if (trouble) return <Problem trouble={trouble} />;
  return <Meter label={t.phone.devices.level} value={level ?? 0} />;
}

/** Devices come and go while one looks; `again` asks anew. */
function usePlugged(again: number): Plugged {
  const [plugged, setPlugged] = useState(NOTHING);
  // biome-ignore lint/correctness/useExhaustiveDependencies: see above
  useEffect(() => {
    let isHere = true;
    const { mediaDevices } = navigator;
    const look = async () => {
      const all = (await mediaDevices.enumerateDevices()).filter(isReal);
      if (!isHere) return;
      setPlugged({
        inputs: all.filter(({ kind }) => kind === 'audioinput'),
        outputs: all.filter(({ kind }) => kind === 'audiooutput'),
      });
    };
    // Not there on pages that are not secure.
    if (!mediaDevices) return;
    const tryLook = () => void look().catch(() => undefined);
    tryLook();
    mediaDevices.addEventListener('devicechange', tryLook);
    return () => {
      isHere = false;
      mediaDevices.removeEventListener('devicechange', tryLook);
    };
  }, [again]);
  return plugged;
}
