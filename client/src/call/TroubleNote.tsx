/** Lies over the words, so that they stay where they are when it comes and goes. */
import { useStore } from 'zustand';
import { liveStore, useLink } from '../live/store';
import { Icon } from '../ui/icons';
import css from './TroubleNote.module.css';
import { troubleOf } from './trouble';

export function TroubleNote({ callSid }: { callSid: string }) {
  const link = useLink();
  // Texts compare by value: it is not drawn with each partial.
  const text = useStore(liveStore, ({ calls }) => troubleOf(calls[callSid], link)?.text);
  const isLoss = useStore(liveStore, ({ calls }) => troubleOf(calls[callSid], link)?.isLoss);
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
