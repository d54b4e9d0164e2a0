/** What went wrong with the phone, why, and what to do. */
import { t } from '../strings';
import { Icon } from '../ui/icons';
import type { Trouble } from './errors';
import css from './Problem.module.css';

export function Problem({ trouble }: { trouble: Trouble }) {
  const { what, todo } = t.phone.trouble[trouble.cause];
  return (
    <div className={css.problem} role="alert">
      <Icon name="warning" />
      <div>
        <p className={css.what}>{trouble.message ? sentence(trouble.message) : what}</p>
        {!trouble.message && <p>{todo}</p>}
        {trouble.code !== null && <p className={css.code}>{t.phone.code(trouble.code)}</p>}
      </div>
    </div>
  );
}

/** The server's messages begin small and end open, to stand within others. */
const sentence = (message: string) =>
  message.charAt(0).toLocaleUpperCase() + message.slice(1).replace(/[^.!?]$/, '$&.');
