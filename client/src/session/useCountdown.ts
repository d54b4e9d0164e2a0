/** Counts down to the time when the server accepts another attempt. */
import { useEffect, useState } from 'react';
import { ApiError } from '../api/client';

/** The seconds left until then; 0 when the error names no wait. */
export function useCountdown(error: unknown): number {
  const [left, setLeft] = useState(0);
  useEffect(() => {
    const wait = error instanceof ApiError ? (error.waitSeconds ?? 0) : 0;
    setLeft(wait);
    if (wait === 0) return;
    const until = Date.now() + wait * 1_000;
    const timer = setInterval(() => {
      const seconds = Math.max(0, Math.ceil((until - Date.now()) / 1_000));
      setLeft(seconds);
      if (seconds === 0) clearInterval(timer);
    }, 1_000);
    return () => clearInterval(timer);
  }, [error]);
  return left;
}
