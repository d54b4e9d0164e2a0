/** The layout of pages before sign-in: the product name and one card. */
import type { ReactNode } from 'react';
import { t } from '../strings';
import css from './session.module.css';

export function CardPage({
  title,
  lead,
  children,
}: {
  title: string;
  lead?: ReactNode;
  children: ReactNode;
}) {
  return (
    <main className={css.page}>
      <p className={css.brand}>
        <img src="/icon.svg" alt="" />
        {t.product}
      </p>
      <div className={css.card}>
        <div>
          <h1>{title}</h1>
          {lead && <p className={css.lead}>{lead}</p>}
        </div>
        {children}
      </div>
    </main>
  );
}
