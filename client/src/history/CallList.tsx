/** The list of calls, grouped by day, with a button for more. */
import { useEffect, useId, useRef } from 'react';
import type { CallHit } from '../api/types';
import { t } from '../strings';
import { Button } from '../ui/controls';
import css from './CallList.module.css';
import { CallRow } from './CallRow';
import { byDay } from './days';

interface RowsProps {
  calls: readonly CallHit[];
  formatParty: (party: string) => string;
}

/** The distance below the screen at which more calls are fetched. */
const AHEAD = '600px';

export function CallList({ calls, formatParty }: RowsProps) {
  return byDay(calls, new Date()).map(({ title, calls }) => (
    <CallGroup key={title} title={title} calls={calls} formatParty={formatParty} />
  ));
}

export function CallGroup({ title, calls, formatParty }: RowsProps & { title: string }) {
  const id = useId();
  return (
    <section aria-labelledby={id}>
      <h2 id={id} className={css.day}>
        {title}
      </h2>
      <ul className={css.rows}>
        {calls.map((call) => (
          <CallRow key={call.sid} call={call} formatParty={formatParty} />
        ))}
      </ul>
    </section>
  );
}

/** Fetches more calls when it scrolls near the screen, or when it is pressed. */
export function More({ isBusy, onMore }: { isBusy: boolean; onMore: () => void }) {
  const button = useRef<HTMLButtonElement>(null);
  const ask = useRef(onMore);
  ask.current = onMore;
  useEffect(() => {
    if (!button.current || isBusy) return;
    const observer = new IntersectionObserver(
      (entries) => {
        if (entries.some((entry) => entry.isIntersecting)) ask.current();
      },
      { root: button.current.closest('main'), rootMargin: AHEAD },
    );
    observer.observe(button.current);
    return () => observer.disconnect();
  }, [isBusy]);
  return (
    <div className={css.more}>
      <Button ref={button} look="quiet" disabled={isBusy} onClick={onMore}>
        {isBusy ? t.calls.list.loading : t.calls.list.more}
      </Button>
    </div>
  );
}
