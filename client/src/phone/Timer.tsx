/** Shows the duration of the conversation. */
import { useEffect, useState } from 'react';
import { clockTime } from '../format/time';

/** A second is shown at most this late. */
const UPDATE_EVERY_MS = 250;

export function Timer({ sinceMs }: { sinceMs: number }) {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), UPDATE_EVERY_MS);
    return () => clearInterval(timer);
  }, []);
  return <span role="timer">{clockTime(now - sinceMs)}</span>;
}
