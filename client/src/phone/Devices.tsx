/** Lets the user choose the microphone, the speaker, and the output of the ringtone. */
import { useCallback, useEffect, useEffectEvent, useState } from 'react';
import { setPreference, usePreference } from '../preferences/preferences';
import { t } from '../strings';
import { Button, Meter, Select } from '../ui/controls';
import css from './Devices.module.css';
import { type PhoneError, toPhoneError } from './errors';
import { watchLevel } from './microphoneLevel';
import { Problem } from './Problem';
import { playRingtoneOnce, playTest } from './sounds';

/** The devices that are plugged in. */
interface MediaDeviceLists {
  inputs: readonly MediaDeviceInfo[];
  outputs: readonly MediaDeviceInfo[];
}

const NO_DEVICES: MediaDeviceLists = { inputs: [], outputs: [] };

/** The meter rises at once, and falls by this much each time, so that peaks stay visible. */
const METER_FALLS_BY = 0.05;

/** Excludes the browser's aliases of the system's default. */
const isDevice = ({ deviceId }: MediaDeviceInfo) =>
  !['', 'default', 'communications'].includes(deviceId);

export function Devices() {
  const { inputs, outputs, refresh } = useMediaDevices();
  const microphone = usePreference('microphone');
  const { devices } = t.phone;
  const canChoose = 'setSinkId' in HTMLMediaElement.prototype;
  return (
    <div className={css.devices}>
      <Picker label={devices.microphone} devices={inputs} of="microphone" />
      {/* The key resets the meter with each microphone. */}
      <LevelMeter key={microphone} microphone={microphone} onOpen={refresh} />
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

/** Shows the level of the microphone. Opening it lets the browser reveal the names of devices. */
function LevelMeter({ microphone, onOpen }: { microphone: string; onOpen: () => void }) {
  const [level, setLevel] = useState<number>();
  const [error, setError] = useState<PhoneError>();
  const isOpen = level !== undefined;
  useEffect(
    () =>
      watchLevel(
        microphone,
        (now) => setLevel((before = 0) => Math.max(now, before - METER_FALLS_BY)),
        (thrown) => setError(toPhoneError(thrown)),
      ),
    [microphone],
  );
  const reportOpen = useEffectEvent(onOpen);
  useEffect(() => {
    if (isOpen) reportOpen();
  }, [isOpen]);
  if (error) return <Problem error={error} />;
  return <Meter label={t.phone.devices.level} value={level ?? 0} />;
}

/** Lists the devices, and follows their changes; `refresh` lists them again. */
function useMediaDevices(): MediaDeviceLists & { refresh: () => void } {
  const [lists, setLists] = useState(NO_DEVICES);
  const refresh = useCallback(async () => {
    const all = (await navigator.mediaDevices.enumerateDevices()).filter(isDevice);
    setLists({
      inputs: all.filter(({ kind }) => kind === 'audioinput'),
      outputs: all.filter(({ kind }) => kind === 'audiooutput'),
    });
  }, []);
  const tryRefresh = useCallback(() => void refresh().catch(() => undefined), [refresh]);
  useEffect(() => {
    const { mediaDevices } = navigator;
    // Absent on insecure pages.
    if (!mediaDevices) return;
    tryRefresh();
    mediaDevices.addEventListener('devicechange', tryRefresh);
    return () => mediaDevices.removeEventListener('devicechange', tryRefresh);
  }, [tryRefresh]);
  return { ...lists, refresh: tryRefresh };
}
