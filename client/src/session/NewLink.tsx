/** How a server without users gets its first. */
import { t } from '../strings';
import css from './session.module.css';

export function NewLink() {
  return (
    <ul className={css.steps}>
      <li>{t.session.byRestart}</li>
      <li>
        {t.session.byCommand} <code className={css.code}>callburner user add NAME</code>
      </li>
    </ul>
  );
}
