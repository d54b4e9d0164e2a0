/** The notice of a transcript problem. It overlays the text, which therefore never moves. */
import { useStore } from 'zustand';
import { liveStore, useLink } from '../live/store';
import { Icon } from '../ui/icons';
import css from './TranscriptNotice.module.css';
import { problemOf } from './transcriptProblem';

export function TranscriptNotice({ callSid }: { callSid: string }) {
  const link = useLink();
  // Strings compare by value, so partials do not render this again.
  const text = useStore(liveStore, ({ calls }) => problemOf(calls[callSid], link)?.text);
  const isLoss = useStore(liveStore, ({ calls }) => problemOf(calls[callSid], link)?.isLoss);
  return (
    <div className={css.place} role="status">
      {text && (
        <p className={css.trouble} data-loss={isLoss || undefined}>
          <Icon name={isLoss ? 'warning' : 'info'} />
          {text}
        </p>
      )}
    </div>
  );
}
