/** What surrounds every screen: where one can go, and what holds for all of them. */
import { type ReactNode, useEffect, useRef } from 'react';
import { Link, useLocation } from 'wouter';
import { t } from '../strings';
import { Icon, type IconName } from './icons';
import css from './Shell.module.css';

const PLACES: readonly { to: string; icon: IconName; label: string }[] = [
  { to: '/', icon: 'phone', label: t.nav.phone },
  { to: '/calls', icon: 'calls', label: t.nav.calls },
  { to: '/settings', icon: 'settings', label: t.nav.settings },
];

/** Whether the place is the screen's, or the screen's way back. */
const isAt = (place: string, path: string) =>
  place === '/' ? path === '/' : path === place || path.startsWith(`${place}/`);

export function Shell({
  banners,
  foot,
  children,
}: {
  /** States of the whole page: offline, reconnecting, a call elsewhere. */
  banners?: ReactNode;
  /** The account, and what else one seldom needs; on a phone it is in the settings. */
  foot?: ReactNode;
  children: ReactNode;
}) {
  const [path] = useLocation();
  const screen = useRef<HTMLElement>(null);
  const shown = useRef(path);
  useEffect(() => {
    const place = PLACES.find(({ to }) => isAt(to, path));
    document.title = place ? t.nav.titled(place.label) : t.product;
  }, [path]);
  useEffect(() => {
    // A new screen is read from its beginning.
    if (shown.current !== path) screen.current?.focus({ preventScroll: true });
    shown.current = path;
  }, [path]);
  return (
    <div className={css.shell}>
      <a className={css.skip} href="#screen">
        {t.nav.skip}
      </a>
      <nav className={css.rail} aria-label={t.nav.label}>
        <img className={css.mark} src="/icon.svg" alt="" />
        {PLACES.map(({ to, icon, label }) => (
          <Link
            key={to}
            href={to}
            className={css.link}
            aria-current={isAt(to, path) ? 'page' : undefined}
          >
            <Icon name={icon} size={24} />
            {label}
          </Link>
        ))}
        {foot && <div className={css.foot}>{foot}</div>}
      </nav>
      <div className={css.main}>
        {banners}
        <main id="screen" ref={screen} className={css.screen} tabIndex={-1}>
          {children}
        </main>
      </div>
    </div>
  );
}
