/** The error of a whole form, announced by screen readers. */
import css from './session.module.css';

export function FormError({ id, message }: { id?: string; message: string | undefined }) {
  return (
    <div id={id} role="alert">
      {message && <p className={css.error}>{message}</p>}
    </div>
  );
}
