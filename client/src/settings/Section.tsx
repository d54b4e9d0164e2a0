/** One section of the settings. */
import { type ReactNode, useId } from 'react';
import css from './settings.module.css';

export function Section({
  id,
  title,
  hint,
  action,
  children,
}: {
  /** The fragment of its address: `/settings#users`. */
  id: string;
  title: string;
  hint?: string | undefined;
  action?: ReactNode;
  children?: ReactNode;
}) {
  const headingId = useId();
  return (
    <section id={id} className={css.section} aria-labelledby={headingId} tabIndex={-1}>
      <div className={css.head}>
        <div>
          <h2 id={headingId}>{title}</h2>
          {hint && <p className={css.hint}>{hint}</p>}
        </div>
        {action}
      </div>
      {children}
    </section>
  );
}
