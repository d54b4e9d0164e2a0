/** A call that comes while another one goes on: who it is, and a way to decline it, on every screen. */
import { useFormatParty } from '../numbers/format';
import { t } from '../strings';
import { Banner, Button } from '../ui/controls';
import { reject } from './incoming';
import { isCarrying } from './phone';
import { usePhone } from './store';

export function WaitingCall() {
  const waiting = usePhone((phone) => (isCarrying(phone) ? phone.incoming[0] : undefined));
  const count = usePhone((phone) => phone.incoming.length);
  const format = useFormatParty();
  if (!waiting) return null;
  const { unknown, more } = t.phone.incoming;
  const { says, decline } = t.phone.waiting;
  return (
    <Banner
      tone="accent"
      icon="phone"
      action={
        <Button look="danger" icon="hangUp" onClick={() => reject(waiting.leg)}>
          {decline}
        </Button>
      }
    >
      {says(format(waiting.party) || unknown)}
      {count > 1 && ` ${more(count - 1)}`}
    </Banner>
  );
}
