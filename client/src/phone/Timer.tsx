/** How long the parties have been talking. */
import { useEffect, useState } from 'react';
import { clockTime } from '../format';

/** A second is never shown late by more than this. */
const EVERY_MS = 250;

export function Timer({ sinceMs }: { sinceMs: number }) {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), EVERY_MS);
    return () => clearInterval(timer);
  }, []);
  return <span role="timer">{clockTime(now - sinceMs)}</span>;
}
