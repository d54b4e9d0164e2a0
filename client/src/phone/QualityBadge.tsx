/** How good the connection is, and why it is not. */
import { t } from '../strings';
import { HiddenText } from '../ui/controls';
import type { Call } from './phone';
import css from './QualityBadge.module.css';
import { type Level, qualityOf } from './quality';

const BARS: Record<Level, number> = { good: 3, fair: 2, poor: 1 };

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
