/** How to create the first user of a server. */
import { t } from '../strings';
import css from './session.module.css';

export function SetupInstructions({ restart = t.session.byRestart }: { restart?: string }) {
  return (
    <ul className={css.steps}>
      <li>{restart}</li>
      <li>
        {t.session.byCommand} <code className={css.code}>callburner user add NAME</code>
      </li>
    </ul>
  );
}
