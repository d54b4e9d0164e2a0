/** Shows the call in progress on the other screens. */
import { Link, useLocation } from 'wouter';
import { useFormatParty } from '../numbers/format';
import { t } from '../strings';
import { IconButton } from '../ui/controls';
import { Icon } from '../ui/icons';
import css from './CallBar.module.css';
import { CallState } from './CallState';
import { phone, usePhone } from './instance';
import { hasActiveCall } from './phoneState';

export function CallBar() {
  const [path] = useLocation();
  const format = useFormatParty();
  const call = usePhone((state) => (hasActiveCall(state) ? state.call : null));
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
        onClick={() => phone.setMuted(!call.muted)}
      />
      <IconButton
        icon="hangUp"
        look="danger"
        label={controls.hangUp}
        onClick={() => phone.hangUp()}
      />
    </section>
  );
}
