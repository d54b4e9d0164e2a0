/** The frame around every screen: the navigation and the banners. */
import { type ReactNode, useEffect, useRef } from 'react';
import { Link, useLocation } from 'wouter';
import { t } from '../strings';
import { Icon, type IconName } from './icons';
import css from './Shell.module.css';

const SCREENS: readonly { to: string; icon: IconName; label: string }[] = [
  { to: '/', icon: 'phone', label: t.nav.phone },
  { to: '/calls', icon: 'calls', label: t.nav.calls },
  { to: '/settings', icon: 'settings', label: t.nav.settings },
];

/** Whether the path is the screen at `root`, or below it. */
const isAt = (root: string, path: string) =>
  root === '/' ? path === '/' : path === root || path.startsWith(`${root}/`);

export function Shell({
  banners,
  foot,
  children,
}: {
  /** States of the whole page, such as offline. */
  banners?: ReactNode;
  /** Less used buttons; small screens have them in the settings. */
  foot?: ReactNode;
  children: ReactNode;
}) {
  const [path] = useLocation();
  const screen = useRef<HTMLElement>(null);
  const shown = useRef(path);
  useEffect(() => {
    const current = SCREENS.find(({ to }) => isAt(to, path));
    document.title = current ? t.nav.titled(current.label) : t.product;
  }, [path]);
  useEffect(() => {
    // Screen readers start at the top of a new screen.
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
        {SCREENS.map(({ to, icon, label }) => (
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
