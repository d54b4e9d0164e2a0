/** The dialog that lists the active shortcuts. */
import { Fragment, useState } from 'react';
import { usePreference } from '../preferences/preferences';
import { t } from '../strings';
import { Kbd } from '../ui/controls';
import { Dialog } from '../ui/Dialog';
import css from './ShortcutSheet.module.css';
import { activeShortcuts, type Shortcut } from './shortcuts';

export function ShortcutSheet({ onClose }: { onClose: () => void }) {
  // Read once, when the dialog opens: the dialog itself declares no shortcuts.
  const [sheet] = useState(activeShortcuts);
  const isOn = usePreference('shortcuts');
  return (
    <Dialog title={t.keys.title} onClose={onClose}>
      {!isOn && <p>{t.keys.off}</p>}
      {[...sheet].map(([heading, shortcuts]) => (
        <section key={heading} className={css.group}>
          <h3>{heading}</h3>
          <dl>
            {[...byAction(shortcuts)].map(([does, ways]) => (
              <div key={does} className={css.row}>
                <dt>
                  {ways.map((keys, index) => (
                    <Fragment key={keys}>
                      {index > 0 && <span className={css.between}>{t.keys.or}</span>}
                      <Keys keys={keys} />
                    </Fragment>
                  ))}
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

/** Groups the shortcuts that have the same description. */
function byAction(shortcuts: readonly Shortcut[]): ReadonlyMap<string, readonly string[]> {
  const ways = new Map<string, readonly string[]>();
  for (const { keys, does } of shortcuts) ways.set(does, [...(ways.get(does) ?? []), keys]);
  return ways;
}

function Keys({ keys }: { keys: string }) {
  return keys.split(' ').map((stroke, index) => (
    // biome-ignore lint/suspicious/noArrayIndexKey: `g g` is one key twice
    <Fragment key={index}>
      {index > 0 && <span className={css.between}>{t.keys.pressThen}</span>}
      {stroke.split('+').map((key) => (
        <Kbd key={key}>{t.keys.named(key)}</Kbd>
      ))}
    </Fragment>
  ));
}
