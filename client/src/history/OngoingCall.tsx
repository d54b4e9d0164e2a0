/** A call that goes on: its words as they come. Its player comes when it is over. */
import { isShown } from '../live/call';
import { useLiveCall } from '../live/store';
import type { Names } from '../player/Transcript';
import { t } from '../strings';
import { Banner } from '../ui/controls';
import css from './OngoingCall.module.css';

export function OngoingCall({ sid, names }: { sid: string; names: Names }) {
  const segments = useLiveCall(sid, (call) => call.segments) ?? [];
  const partials = useLiveCall(sid, (call) => call.partials) ?? [];
  const shown = segments.filter(isShown);
  return (
    <div className={css.words}>
      <Banner>{t.calls.page.ongoing}</Banner>
      {shown.length + partials.length === 0 && <p>{t.calls.page.listening}</p>}
      {shown.map((segment) => (
        <p key={segment.id}>
          <b>{names[segment.speaker]}</b>{' '}
          {segment.transcribed ? segment.text : t.calls.transcript.missing}
        </p>
      ))}
      {partials.map((partial) => (
        <p key={partial.segmentId} className={css.unsettled}>
          <b>{names[partial.speaker]}</b> {partial.stable}
          {partial.unstable}
        </p>
      ))}
    </div>
  );
}
