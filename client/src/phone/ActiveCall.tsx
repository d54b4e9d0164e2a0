/** The call that this page carries, as long as it goes on. */
import { CallControls } from '../call/CallControls';
import { CallFrame } from '../call/CallFrame';
import { RecordingControl } from '../call/RecordingControl';
import { useFormatParty } from '../numbers/format';
import { t } from '../strings';
import { CallState } from './CallState';
import { hangUp, sendKeys, setMuted } from './carrier';
import type { Call } from './phone';

export function ActiveCall({ call }: { call: Call }) {
  const party = useFormatParty()(call.party) || t.phone.incoming.unknown;
  const { name } = call.stage;
  const controls = (
    <CallControls
      party={party}
      muted={call.muted}
      digits={call.digits}
      // Machines may want keys before anybody has answered.
      connected={name === 'talking' || name === 'reconnecting' || name === 'ringing'}
      recording={call.sid && <RecordingControl callSid={call.sid} />}
      onMute={setMuted}
      onKeys={sendKeys}
      onHangUp={hangUp}
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
