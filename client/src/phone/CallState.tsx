/** Shows the stage of a call, its duration and the quality of its connection. */
import { t } from '../strings';
import css from './CallState.module.css';
import { type Call, talkingSinceMs } from './phoneState';
import { QualityBadge } from './QualityBadge';
import { Timer } from './Timer';

export function CallState({ call }: { call: Call }) {
  const { stage } = call;
  const sinceMs = talkingSinceMs(call);
  return (
    <div className={css.state}>
      <span role="status">
        {stage.name !== 'talking' && stage.name !== 'ended' && t.phone.stage[stage.name]}
      </span>
      {sinceMs !== null && <Timer sinceMs={sinceMs} />}
      <QualityBadge call={call} />
    </div>
  );
}
