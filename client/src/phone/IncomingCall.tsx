/** Who calls, wherever on the page one is. */
import { useEffect, useId, useRef } from 'react';
import { useLocation } from 'wouter';
import { useFormatParty } from '../numbers/format';
import { t } from '../strings';
import { Button } from '../ui/controls';
import { Icon } from '../ui/icons';
import css from './IncomingCall.module.css';
import { accept, ignore, reject } from './incoming';
import { type Incoming, isCarrying } from './phone';
import { usePhone } from './store';

export function IncomingCall() {
  const incoming = usePhone((phone) => (isCarrying(phone) ? undefined : phone.incoming[0]));
  const count = usePhone((phone) => phone.incoming.length);
  if (!incoming) return null;
  return <Ringing key={incoming.leg} incoming={incoming} others={count - 1} />;
}

function Ringing({ incoming, others }: { incoming: Incoming; others: number }) {
  const [, go] = useLocation();
  const box = useRef<HTMLDivElement>(null);
  const id = useId();
  const party = useFormatParty()(incoming.party) || t.phone.incoming.unknown;
  useEffect(() => {
    const before = document.activeElement;
    // Not a button: what one was typing must answer nothing.
    box.current?.focus();
    return () => {
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  const { title, more, ...words } = t.phone.incoming;
  return (
    <div
      ref={box}
      className={css.incoming}
      role="alertdialog"
      aria-labelledby={`${id}-title`}
      aria-describedby={`${id}-party`}
      tabIndex={-1}
      onKeyDown={(event) => {
        if (event.key === 'Escape') ignore(incoming.leg);
      }}
    >
      <span className={css.sign} aria-hidden="true">
        <Icon name="phone" size={24} />
      </span>
      <div className={css.who}>
        <h2 id={`${id}-title`}>{title}</h2>
        <p id={`${id}-party`}>{party}</p>
        {others > 0 && <p className={css.more}>{more(others)}</p>}
      </div>
      <div className={css.actions}>
        <Button look="quiet" onClick={() => ignore(incoming.leg)}>
          {words.ignore}
        </Button>
        <Button look="danger" icon="hangUp" onClick={() => reject(incoming.leg)}>
          {words.reject}
        </Button>
        <Button
          look="primary"
          icon="phone"
          onClick={() => {
            void accept(incoming.leg);
            go('/');
          }}
        >
          {words.accept}
        </Button>
      </div>
    </div>
  );
}
