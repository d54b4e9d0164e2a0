/**
 * Announces final words to screen readers: a hidden log that grows only at its end and drops old
 * entries. The visible lines change too often to be announced.
 */
import { useEffect, useRef, useState } from 'react';
import type { Segment } from '../api/types';
import type { Names } from '../callRecord/party';
import { isShown } from '../live/lines';
import { useLiveCall } from '../live/store';
import { usePreference } from '../preferences/preferences';
import { t } from '../strings';
import { textOf } from '../transcript/plainText';
import css from './AnnouncementLog.module.css';
import { ANNOUNCEMENTS_MAX, newSegments } from './announcements';

export function AnnouncementLog({ callSid, names }: { callSid: string; names: Names }) {
  const isOn = usePreference('announceWords');
  return isOn ? <Log callSid={callSid} names={names} /> : null;
}

function Log({ callSid, names }: { callSid: string; names: Names }) {
  const segments = useLiveCall(callSid, (call) => call.segments);
  const announced = useRef<readonly Segment[]>(undefined);
  const [entries, setEntries] = useState<readonly Segment[]>([]);
  useEffect(() => {
    if (!segments) return;
    const fresh = newSegments(announced.current, segments).filter(
      (one) => isShown(one) && !one.echo,
    );
    announced.current = segments;
    if (fresh.length > 0) setEntries((before) => [...before, ...fresh].slice(-ANNOUNCEMENTS_MAX));
  }, [segments]);
  return (
    <div
      className={css.log}
      role="log"
      aria-live="polite"
      aria-relevant="additions"
      aria-label={t.call.words.log}
    >
      {entries.map((segment) => (
        <p key={segment.id}>
          {names[segment.speaker]}: {textOf(segment)}
        </p>
      ))}
    </div>
  );
}
