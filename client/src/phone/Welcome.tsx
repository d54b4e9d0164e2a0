/** Greets a user of a server without a Twilio account: offers a recorded call, and how to set up. */
import { t } from '../strings';
import { Button } from '../ui/controls';
import css from './GoOnline.module.css';

export function Welcome({ isBusy, onPlay }: { isBusy: boolean; onPlay: () => void }) {
  const { welcome } = t.phone;
  return (
    <section className={css.goOnline}>
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
