/** Shows on every screen a call that waits during another one, and lets the user decline it. */
import { useFormatParty } from '../numbers/format';
import { t } from '../strings';
import { Banner, Button } from '../ui/controls';
import { phone, usePhone } from './instance';
import { hasActiveCall } from './phoneState';

export function WaitingCall() {
  const waiting = usePhone((state) => (hasActiveCall(state) ? state.incoming[0] : undefined));
  const count = usePhone((state) => state.incoming.length);
  const format = useFormatParty();
  if (!waiting) return null;
  const { unknown, more } = t.phone.incoming;
  const { says, decline } = t.phone.waiting;
  return (
    <Banner
      tone="accent"
      icon="phone"
      action={
        <Button look="danger" icon="hangUp" onClick={() => phone.reject(waiting.legSid)}>
          {decline}
        </Button>
      }
    >
      {says(format(waiting.party) || unknown)}
      {count > 1 && ` ${more(count - 1)}`}
    </Banner>
  );
}
