/** Shows the quality of a call's connection, and the reason if it is not good. */
import { t } from '../strings';
import type { QualityLevel } from '../strings/phoneStates';
import { HiddenText } from '../ui/controls';
import type { Call } from './phoneState';
import css from './QualityBadge.module.css';
import { qualityOf } from './quality';

const BARS: Record<QualityLevel, number> = { good: 3, fair: 2, poor: 1 };

export function QualityBadge({ call }: { call: Call }) {
  const quality = qualityOf(call.warnings, call.sample);
  if (!quality) return null;
  const { label, levels, reasons } = t.phone.quality;
  const text = levels[quality.level];
  return (
    <span className={css.badge} data-level={quality.level} role="status">
      <HiddenText>{label}: </HiddenText>
      <span className={css.bars} aria-hidden="true">
        {[1, 2, 3].map((bar) => (
          <i key={bar} data-on={bar <= BARS[quality.level] || undefined} />
        ))}
      </span>
      {quality.level === 'good' ? <HiddenText>{text}</HiddenText> : text}
      {quality.reasons[0] && <span className={css.reason}>{reasons[quality.reasons[0]]}</span>}
    </span>
  );
}
