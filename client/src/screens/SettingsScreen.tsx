import { useQuery } from '@tanstack/react-query';
import { useEffect } from 'react';
import { sessionQuery } from '../api/queries';
import type { SessionState } from '../api/types';
import { useLastSession } from '../session/session';
import { Accessibility } from '../settings/Accessibility';
import { Account } from '../settings/Account';
import { Appearance } from '../settings/Appearance';
import { copyDebugInfo } from '../settings/copyDebugInfo';
import { DevicesSection } from '../settings/DevicesSection';
import { Keywords } from '../settings/Keywords';
import { SecondFactor } from '../settings/SecondFactor';
import { Section } from '../settings/Section';
import { Sessions } from '../settings/Sessions';
import css from '../settings/settings.module.css';
import { ThisServer } from '../settings/ThisServer';
import { Tokens } from '../settings/Tokens';
import { Users } from '../settings/Users';
import { t } from '../strings';
import { Button } from '../ui/controls';

/** The settings of this browser, of the account and, for admins, of all users. */
export function SettingsScreen() {
  const session = useQuery(sessionQuery).data;
  const last = useLastSession();
  // The forms stay while the session is lost, so that no input is lost.
  const shown = session?.open || session?.user ? session : (last ?? session);
  useEffect(goToSection, []);
  if (!shown) return null;
  return (
    <div className={css.page}>
      <h1>{t.settings.title}</h1>
      <div className={css.columns}>
        <nav className={css.contents} aria-label={t.settings.sections}>
          <ul>
            {sectionsOf(shown).map(([id, title]) => (
              <li key={id}>
                <a href={`#${id}`}>{title}</a>
              </li>
            ))}
          </ul>
        </nav>
        <div className={css.sections}>
          <DevicesSection />
          <Appearance />
          <Accessibility />
          <Keywords />
          {shown.user && <Account user={shown.user} />}
          {shown.user && <SecondFactor />}
          {shown.user && <Sessions />}
          {managesUsers(shown) && <Users session={shown} />}
          {shown.user && <Tokens user={shown.user} />}
          <ThisServer />
          <Section
            id="debug"
            title={t.settings.debug.title}
            hint={t.settings.debug.hint}
            action={
              <Button icon="copy" onClick={() => copyDebugInfo()}>
                {t.crash.copyDebug}
              </Button>
            }
          />
        </div>
      </div>
    </div>
  );
}

const managesUsers = ({ open, user }: SessionState) => open || user?.role === 'admin';

/** The sections for this user, in page order. */
function sectionsOf(session: SessionState): readonly (readonly [id: string, title: string])[] {
  const { devices, appearance, access, keywords, account, users, tokens, server, debug } =
    t.settings;
  const { factor, sessions } = t.settings;
  const sections = [
    ['devices', devices.title, true],
    ['appearance', appearance.title, true],
    ['accessibility', access.title, true],
    ['keywords', keywords.title, true],
    ['account', account.title, session.user],
    ['second-factor', factor.title, session.user],
    ['sessions', sessions.title, session.user],
    ['users', users.title, managesUsers(session)],
    ['tokens', tokens.title, session.user],
    ['server', server.title, true],
    ['debug', debug.title, true],
  ] as const;
  return sections.filter(([, , isShown]) => isShown).map(([id, title]) => [id, title]);
}

/** Focuses the section in the address, which did not exist when the browser looked for it. */
function goToSection() {
  const { hash } = window.location;
  if (hash) document.getElementById(hash.slice(1))?.focus();
}
