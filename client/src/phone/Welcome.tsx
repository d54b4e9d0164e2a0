/** A phone without an account: what there is to see first, and how to get one. */
import { t } from '../strings';
import { Button } from '../ui/controls';
import css from './Gate.module.css';

export function Welcome({ isBusy, onPlay }: { isBusy: boolean; onPlay: () => void }) {
  const { welcome } = t.phone;
  return (
    <section className={css.gate}>
      <h2>{welcome.title}</h2>
      <p className={css.body}>{welcome.body}</p>
      <Button look="primary" size="large" icon="play" disabled={isBusy} onClick={onPlay}>
        {welcome.play}
      </Button>
      <p className={css.small}>
        {welcome.account} <code>callburner setup</code>
      </p>
    </section>
  );
}
