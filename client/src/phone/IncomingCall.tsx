/** Shows an incoming call on every screen. */
import { useEffect, useId, useRef } from 'react';
import { useLocation } from 'wouter';
import { useFormatParty } from '../numbers/format';
import { t } from '../strings';
import { Button } from '../ui/controls';
import { Icon } from '../ui/icons';
import css from './IncomingCall.module.css';
import { phone, usePhone } from './instance';
import { hasActiveCall, type RingingCall } from './phoneState';

export function IncomingCall() {
  const incoming = usePhone((state) => (hasActiveCall(state) ? undefined : state.incoming[0]));
  const count = usePhone((state) => state.incoming.length);
  if (!incoming) return null;
  return <IncomingCallDialog key={incoming.legSid} incoming={incoming} others={count - 1} />;
}

function IncomingCallDialog({ incoming, others }: { incoming: RingingCall; others: number }) {
  const [, go] = useLocation();
  const box = useRef<HTMLDivElement>(null);
  const id = useId();
  const party = useFormatParty()(incoming.party) || t.phone.incoming.unknown;
  useEffect(() => {
    const before = document.activeElement;
    // Not a button, which a key that the user is typing would press.
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
        if (event.key === 'Escape') phone.ignore(incoming.legSid);
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
        <Button look="quiet" onClick={() => phone.ignore(incoming.legSid)}>
          {words.ignore}
        </Button>
        <Button look="danger" icon="hangUp" onClick={() => phone.reject(incoming.legSid)}>
          {words.reject}
        </Button>
        <Button
          look="primary"
          icon="phone"
          onClick={() => {
            void phone.accept(incoming.legSid);
            go('/');
          }}
        >
          {words.accept}
        </Button>
      </div>
    </div>
  );
}
