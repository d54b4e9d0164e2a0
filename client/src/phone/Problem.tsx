/** Shows an error of the phone, its cause, and what to do. */
import { t } from '../strings';
import { Icon } from '../ui/icons';
import type { PhoneError } from './errors';
import css from './Problem.module.css';

export function Problem({ error }: { error: PhoneError }) {
  const { what, todo } = t.phone.errors[error.cause];
  return (
    <div className={css.problem} role="alert">
      <Icon name="warning" />
      <div>
        <p className={css.what}>{error.message ? sentence(error.message) : what}</p>
        {!error.message && <p>{todo}</p>}
        {error.code !== null && <p className={css.code}>{t.phone.code(error.code)}</p>}
      </div>
    </div>
  );
}

/** The server's messages begin small and end open, to stand within others. */
const sentence = (message: string) =>
  message.charAt(0).toLocaleUpperCase() + message.slice(1).replace(/[^.!?]$/, '$&.');
