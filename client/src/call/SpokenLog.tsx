/**
 * Settled words for those who hear the page: a hidden log that only grows at its end, and lets go
 * of what was read out. The words that one sees change too often to be read aloud.
 */
import { useEffect, useRef, useState } from 'react';
import type { Segment } from '../api/types';
import { isShown } from '../live/lines';
import { useLiveCall } from '../live/store';
import { usePreference } from '../settings/preferences';
import { t } from '../strings';
import { saidIn } from './figures';
import css from './SpokenLog.module.css';
import { freshOf, SPOKEN_MAX } from './spoken';
import type { Names } from './TranscriptLine';

export function SpokenLog({ callSid, names }: { callSid: string; names: Names }) {
  const isOn = usePreference('announceWords');
  return isOn ? <Log callSid={callSid} names={names} /> : null;
}

function Log({ callSid, names }: { callSid: string; names: Names }) {
  const segments = useLiveCall(callSid, (call) => call.segments);
  const told = useRef<readonly Segment[]>(undefined);
  const [spoken, setSpoken] = useState<readonly Segment[]>([]);
  useEffect(() => {
    if (!segments) return;
    const fresh = freshOf(told.current, segments).filter((one) => isShown(one) && !one.echo);
    told.current = segments;
    if (fresh.length > 0) setSpoken((before) => [...before, ...fresh].slice(-SPOKEN_MAX));
  }, [segments]);
  return (
    <div
      className={css.log}
      role="log"
      aria-live="polite"
      aria-relevant="additions"
      aria-label={t.call.words.log}
    >
      {spoken.map((segment) => (
        <p key={segment.id}>
          {names[segment.speaker]}: {saidIn(segment)}
        </p>
      ))}
    </div>
  );
}
