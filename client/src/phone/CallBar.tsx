/** The call that goes on, on screens that show something else. */
import { Link, useLocation } from 'wouter';
import { useFormatParty } from '../numbers/format';
import { t } from '../strings';
import { IconButton } from '../ui/controls';
import { Icon } from '../ui/icons';
import css from './CallBar.module.css';
import { CallState } from './CallState';
import { hangUp, setMuted } from './carrier';
import { isCarrying } from './phone';
import { usePhone } from './store';

export function CallBar() {
  const [path] = useLocation();
  const format = useFormatParty();
  const call = usePhone((phone) => (isCarrying(phone) ? phone.call : null));
  if (!call || path === '/') return null;
  const { controls, bar } = t.phone;
  return (
    <section className={css.bar} aria-label={bar.label}>
      <Icon name="phone" />
      <Link href="/" className={css.return} title={bar.return}>
        {format(call.party) || t.phone.incoming.unknown}
      </Link>
      <CallState call={call} />
      <IconButton
        icon={call.muted ? 'micOff' : 'mic'}
        label={call.muted ? controls.unmute : controls.mute}
        onClick={() => setMuted(!call.muted)}
      />
      <IconButton icon="hangUp" look="danger" label={controls.hangUp} onClick={hangUp} />
    </section>
  );
}
