/** A call in progress with its live transcript; the player appears when it has ended. */
import { CallBody } from '../call/CallBody';
import { t } from '../strings';
import { Banner } from '../ui/controls';
import css from './OngoingCall.module.css';

export function OngoingCall({ sid }: { sid: string }) {
  return (
    <div className={css.ongoing}>
      <Banner>{t.calls.page.ongoing}</Banner>
      <CallBody callSid={sid} />
    </div>
  );
}
