/** The calls, by day, and the way to more of them. */
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

/** How far below the screen more calls are asked for. */
const AHEAD = '600px';

export function CallList({ calls, formatParty }: RowsProps) {
  return byDay(calls, new Date()).map(({ title, calls }) => (
    <CallGroup key={title} title={title} calls={calls} formatParty={formatParty} />
  ));
}

/** Calls under a title. */
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

/** Asks for more when it comes near, and on a press. */
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
