/** Links that look like buttons, and can be opened in another tab. */
import type { ReactNode } from 'react';
import { Link } from 'wouter';
import css from './controls.module.css';
import { Icon, type IconName } from './icons';

export function ButtonLink({
  href,
  icon,
  look = 'plain',
  children,
}: {
  href: string;
  icon?: IconName;
  look?: 'plain' | 'primary' | 'quiet';
  children: ReactNode;
}) {
  return (
    <Link href={href} className={css.button} data-look={look} data-size="normal">
      {icon && <Icon name={icon} />}
      {children}
    </Link>
  );
}

/** A link that shows only an icon. */
export function IconLink({ href, icon, label }: { href: string; icon: IconName; label: string }) {
  return (
    <Link
      href={href}
      className={`${css.button} ${css.icon}`}
      data-look="quiet"
      aria-label={label}
      title={label}
    >
      <Icon name={icon} />
    </Link>
  );
}
