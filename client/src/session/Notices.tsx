/** The banners of the whole page, and the way back in when the session is over. */
import { useState } from 'react';
import { Link } from 'wouter';
import type { SessionState } from '../api/types';
import { setPreference, usePreference } from '../settings/preferences';
import { t } from '../strings';
import { Banner, Button, IconButton } from '../ui/controls';
import { Dialog } from '../ui/Dialog';
import { type Notice, noticesOf } from './notices';
import { useReach } from './reach';
import { SignIn } from './SignIn';
import { isIn } from './session';

export function Notices({ session, last }: { session: SessionState; last: SessionState }) {
  const reach = useReach();
  const isOpenNoticeAway = usePreference('openNoticeAway');
  const [isSigningIn, setIsSigningIn] = useState(false);
  const isSessionLost = !isIn(session);
  const notices = noticesOf({
    ...reach,
    isSessionLost,
    isOpen: session.open,
    isOpenNoticeAway,
  });
  return (
    <>
      {notices.map((notice) => (
        <OneNotice key={notice} notice={notice} onSignIn={() => setIsSigningIn(true)} />
      ))}
      {isSessionLost && isSigningIn && (
        <Dialog title={t.session.lostTitle} onClose={() => setIsSigningIn(false)}>
          <SignIn
            name={last.user?.name}
            passkeyHost={session.passkeyHost}
            onDone={() => setIsSigningIn(false)}
          />
        </Dialog>
      )}
    </>
  );
}

function OneNotice({ notice, onSignIn }: { notice: Notice; onSignIn: () => void }) {
  switch (notice) {
    case 'offline':
      return (
        <Banner tone="warn" icon="warning">
          {t.reach.offline}
        </Banner>
      );
    case 'gone':
      return (
        <Banner tone="danger" icon="warning">
          {t.reach.gone}
        </Banner>
      );
    case 'session-lost':
      return (
        <Banner
          tone="danger"
          icon="user"
          action={<Button onClick={onSignIn}>{t.session.signIn}</Button>}
        >
          {t.session.lost}
        </Banner>
      );
    case 'open':
      return (
        <Banner
          action={
            <IconButton
              icon="close"
              label={t.open.putAway}
              onClick={() => setPreference('openNoticeAway', true)}
            />
          }
        >
          {t.open.notice}
          {/* On the settings already, the link leads nowhere; there the section takes the focus. */}
          <Link href="/settings#users" onClick={() => document.getElementById('users')?.focus()}>
            {t.open.add}
          </Link>
          {t.open.toRequire}
        </Banner>
      );
  }
}
