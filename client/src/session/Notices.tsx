/** The banners of the whole page, and the sign-in dialog after the session is lost. */
import { useState } from 'react';
import { Link } from 'wouter';
import type { SessionState } from '../api/types';
import { setPreference, usePreference } from '../preferences/preferences';
import { t } from '../strings';
import { Banner, Button, IconButton } from '../ui/controls';
import { Dialog } from '../ui/Dialog';
import { useConnectivity } from './connectivity';
import { type Notice, noticesOf } from './pageNotices';
import { SignIn } from './SignIn';
import { hasAccess } from './session';

export function Notices({ session, last }: { session: SessionState; last: SessionState }) {
  const connectivity = useConnectivity();
  const isOpenNoticeDismissed = usePreference('openNoticeAway');
  const [isSigningIn, setIsSigningIn] = useState(false);
  const isSessionLost = !hasAccess(session);
  const notices = noticesOf({
    ...connectivity,
    isSessionLost,
    isOpen: session.open,
    isOpenNoticeDismissed,
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
          {t.connectivity.offline}
        </Banner>
      );
    case 'gone':
      return (
        <Banner tone="danger" icon="warning">
          {t.connectivity.gone}
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
              label={t.openServer.putAway}
              onClick={() => setPreference('openNoticeAway', true)}
            />
          }
        >
          {t.openServer.notice}
          {/* On the settings screen itself the link only moves the focus. */}
          <Link href="/settings#users" onClick={() => document.getElementById('users')?.focus()}>
            {t.openServer.add}
          </Link>
          {t.openServer.toRequire}
        </Banner>
      );
  }
}
