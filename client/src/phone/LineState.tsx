/** Shows whether calls reach this page, and lets the user go offline. */
import { t } from '../strings';
import { Banner, Button, Chip } from '../ui/controls';
import { usePhone } from './instance';
import css from './LineState.module.css';
import type { Line } from './phoneState';

export function LineState({ line, onGoOffline }: { line: Line; onGoOffline: () => void }) {
  const isOnline = line.name === 'online';
  const { online, lost, goOffline } = t.phone.line;
  return (
    <div className={css.line}>
      <span role="status">
        <Chip tone={isOnline ? 'accent' : 'warn'}>
          <i className={css.dot} aria-hidden="true" />
          {isOnline ? online : lost}
        </Chip>
      </span>
      <Button look="quiet" onClick={onGoOffline}>
        {goOffline}
      </Button>
    </div>
  );
}

/** Warns on every screen that calls do not reach this page. */
export function LineBanner() {
  const isLost = usePhone(({ line }) => line.name === 'lost');
  return isLost ? <Banner tone="warn">{t.phone.line.lostBanner}</Banner> : null;
}
