/** Which keys do what, here and now. */
import { useState } from 'react';
import { usePreference } from '../settings/preferences';
import { t } from '../strings';
import { Kbd } from '../ui/controls';
import { Dialog } from '../ui/Dialog';
import { shortcutsNow } from './keys';
import css from './Sheet.module.css';

export function Sheet({ onClose }: { onClose: () => void }) {
  // As the screen behind has them: the dialog itself declares none.
  const [sheet] = useState(shortcutsNow);
  const isOn = usePreference('shortcuts');
  return (
    <Dialog title={t.keys.title} onClose={onClose}>
      {!isOn && <p>{t.keys.off}</p>}
      {[...sheet].map(([heading, shortcuts]) => (
        <section key={heading} className={css.group}>
          <h3>{heading}</h3>
          <dl>
            {shortcuts.map(({ keys, does }) => (
              <div key={keys} className={css.row}>
                <dt>
                  <Keys keys={keys} />
                </dt>
                <dd>{does}</dd>
              </div>
            ))}
          </dl>
        </section>
      ))}
    </Dialog>
  );
}

function Keys({ keys }: { keys: string }) {
  return keys.split(' ').map((stroke, index) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: `g g` is one key twice
    <span key={index} className={css.stroke}>
      {index > 0 && <span className={css.then}>{t.keys.pressThen}</span>}
      {stroke.split('+').map((key) => (
        <Kbd key={key}>{t.keys.named(key)}</Kbd>
      ))}
    </span>
  ));
}
