/** A call that goes on: its words as they come. Its player comes when it is over. */
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
