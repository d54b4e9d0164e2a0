/**
 * The layout of a call: the other person and the state on top, the words in the middle, and the way
 * out at the foot. Only what is inside the middle scrolls.
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
  /** Once it is known. */
  callSid: string | null;
  /** The other person. */
  title: string;
  /** How it goes: status, timer, recording. Says itself what of it is read aloud. */
  state: ReactNode;
  /** The dock. */
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
