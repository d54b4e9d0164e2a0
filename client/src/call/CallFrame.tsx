/**
 * The layout of a call: the other person and the state on top, the words in the middle, and the way
 * out at the foot. Only what is inside the middle scrolls.
 */
import type { ReactNode } from 'react';
import { t } from '../strings';
import css from './CallFrame.module.css';

export function CallFrame({
  title,
  state,
  aside,
  controls,
  children,
}: {
  /** The other person. */
  title: string;
  /** How it goes: status, timer, recording. Says itself what of it is read aloud. */
  state: ReactNode;
  /** Beside the words; on a phone, above them. */
  aside?: ReactNode;
  /** The dock. */
  controls?: ReactNode;
  /** The words. */
  children: ReactNode;
}) {
  return (
    <section className={css.frame} aria-label={title}>
      <header className={css.head}>
        <h1 className={css.title}>{title}</h1>
        <div className={css.state}>{state}</div>
      </header>
      <div className={css.body}>
        <div className={css.words}>{children}</div>
        {aside && (
          <aside className={css.aside} aria-label={t.call.details}>
            {aside}
          </aside>
        )}
      </div>
      {controls && <footer className={css.dock}>{controls}</footer>}
    </section>
  );
}
