/** Shows the call of this page while it is in progress. */

import { CallFrame } from '../call/CallFrame';
import { RecordingControl } from '../call/RecordingControl';
import { useFormatParty } from '../numbers/format';
import { t } from '../strings';
import { CallControls } from './CallControls';
import { CallState } from './CallState';
import { phone } from './instance';
import type { Call } from './phoneState';

export function ActiveCall({ call }: { call: Call }) {
  const party = useFormatParty()(call.party) || t.phone.incoming.unknown;
  const { name } = call.stage;
  const controls = (
    <CallControls
      party={party}
      muted={call.muted}
      digits={call.digits}
      // Menus may ask for digits before anybody has answered.
      connected={name === 'talking' || name === 'reconnecting' || name === 'ringing'}
      recording={call.sid && <RecordingControl callSid={call.sid} />}
      onMute={(muted) => phone.setMuted(muted)}
      onDigits={(digits) => phone.sendDigits(digits)}
      onHangUp={() => phone.hangUp()}
    />
  );
  return (
    <CallFrame
      callSid={call.sid}
      title={party}
      state={<CallState call={call} />}
      controls={controls}
    />
  );
}
