/**
 * The layout of a live call: the other party and the state at the top, the transcript in the middle,
 * and the controls at the bottom. Only the middle scrolls.
 */
import type { ReactNode } from 'react';
import { CallBody } from './CallBody';
import css from './CallFrame.module.css';

export function CallFrame({
  callSid,
  title,
  state,
  controls,
}: {
  /** Null until the server has assigned it. */
  callSid: string | null;
  /** The other party. */
  title: string;
  /** The status, the timer and the recording. Sets its own ARIA roles. */
  state: ReactNode;
  controls?: ReactNode;
}) {
  return (
    <section className={css.frame} aria-label={title}>
      <header className={css.head}>
        <h1 className={css.title}>{title}</h1>
        <div className={css.state}>{state}</div>
      </header>
      {callSid ? <CallBody callSid={callSid} /> : <div />}
      {controls && (
        <footer className={css.dock} data-dock="call">
          {controls}
        </footer>
      )}
    </section>
  );
}
