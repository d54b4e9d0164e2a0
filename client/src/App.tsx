/** Routes, and the checks before them. */
import { useQuery } from '@tanstack/react-query';
import { lazy, Suspense, useEffect, useState } from 'react';
import { Link, Route, Switch, useLocation } from 'wouter';
import { messageOf } from './api/client';
import { sessionQuery } from './api/queries';
import type { SessionState } from './api/types';
import { ShortcutSheet } from './keys/ShortcutSheet';
import { listenForShortcuts, useShortcuts } from './keys/shortcuts';
import { forgetCalls, wakeLinkWithPage } from './live/store';
import { CallBar } from './phone/CallBar';
import { IncomingCall } from './phone/IncomingCall';
import { phone } from './phone/instance';
import { LineBanner } from './phone/LineState';
import { WaitingCall } from './phone/WaitingCall';
import { PhoneScreen } from './screens/PhoneScreen';
import { watchServer } from './session/connectivity';
import { Notices } from './session/Notices';
import { SignOut } from './session/SignOut';
import {
  type Activity,
  endWithSession,
  hasAccess,
  identityOf,
  rememberSession,
  useLastSession,
} from './session/session';
import { copyDebugInfo } from './settings/copyDebugInfo';
import { t } from './strings';
import { Button, Empty, IconButton, Loading } from './ui/controls';
import { ErrorBoundary } from './ui/ErrorBoundary';
import { Shell } from './ui/Shell';
import { Toasts } from './ui/toasts';

const CallsScreen = lazy(async () => ({
  default: (await import('./screens/CallsScreen')).CallsScreen,
}));
const CallScreen = lazy(async () => ({
  default: (await import('./screens/CallScreen')).CallScreen,
}));
const LiveScreen = lazy(async () => ({
  default: (await import('./screens/LiveScreen')).LiveScreen,
}));
const SettingsScreen = lazy(async () => ({
  default: (await import('./screens/SettingsScreen')).SettingsScreen,
}));
const SignInScreen = lazy(async () => ({
  default: (await import('./screens/SignInScreen')).SignInScreen,
}));
const OpenScreen = lazy(async () => ({
  default: (await import('./screens/OpenScreen')).OpenScreen,
}));
const ReplaceTemporaryPassword = lazy(async () => ({
  default: (await import('./session/ReplaceTemporaryPassword')).ReplaceTemporaryPassword,
}));
const SecondFactorScreen = lazy(async () => ({
  default: (await import('./screens/SecondFactorScreen')).SecondFactorScreen,
}));
const ConfirmIdentity = lazy(async () => ({
  default: (await import('./session/ConfirmIdentity')).ConfirmIdentity,
}));
const SetupScreen = lazy(async () => ({
  default: (await import('./screens/SetupScreen')).SetupScreen,
}));

export function App() {
  const [path] = useLocation();
  useEffect(watchServer, []);
  return (
    <>
      <ErrorBoundary resetKey={path} onCopyDebug={copyDebugInfo}>
        <Suspense fallback={<Loading />}>
          <Switch>
            <Route path="/open">
              <OpenScreen />
            </Route>
            <Route path="/setup">
              <SetupScreen />
            </Route>
            <Route>
              <SessionGate />
            </Route>
          </Switch>
        </Suspense>
      </ErrorBoundary>
      <Toasts />
    </>
  );
}

/**
 * Shows the page to signed-in users, or to everyone if the server is open. A user who loses the
 * session keeps the page, and with it a call and unsaved input.
 */
function SessionGate() {
  const session = useQuery(sessionQuery);
  const last = useLastSession();
  useEffect(() => {
    if (session.data && hasAccess(session.data)) rememberSession(session.data);
  }, [session.data]);
  if (session.isPending) return <Loading />;
  if (session.data === undefined)
    return (
      <main>
        <Empty
          title={messageOf(session.error)}
          action={<Button onClick={() => session.refetch()}>{t.ui.retry}</Button>}
        />
      </main>
    );
  const shown = hasAccess(session.data) ? session.data : last;
  if (!shown) return <SignInScreen session={session.data} />;
  const { user, secondFactorNeeded } = session.data;
  if (user?.passwordIsTemporary) return <ReplaceTemporaryPassword user={user} />;
  if (secondFactorNeeded) return <SecondFactorScreen />;
  return <Page key={identityOf(shown)} session={session.data} last={shown} />;
}

/** Signing out ends the phone. */
const endedBySignOut: Activity = {
  isBusy: () => phone.isInCall,
  end: () => phone.reset(),
  resume: () => phone.renewToken(),
};

/** The page for one user. */
function Page({ session, last }: { session: SessionState; last: SessionState }) {
  const [path, navigate] = useLocation();
  const [isSheetOpen, setIsSheetOpen] = useState(false);
  useEffect(wakeLinkWithPage, []);
  useEffect(listenForShortcuts, []);
  useEffect(() => endWithSession(endedBySignOut), []);
  useEffect(() => forgetAll, []);
  useShortcuts(
    [
      { keys: 'g p', does: t.keys.go(t.nav.phone), run: () => navigate('/') },
      { keys: 'g c', does: t.keys.go(t.nav.calls), run: () => navigate('/calls') },
      { keys: 'g s', does: t.keys.go(t.nav.settings), run: () => navigate('/settings') },
      { keys: '?', does: t.keys.show, run: () => setIsSheetOpen(true) },
    ],
    t.keys.everywhere,
  );
  return (
    <Shell
      banners={
        <>
          <Notices session={session} last={last} />
          <LineBanner />
          <CallBar />
          <WaitingCall />
        </>
      }
      foot={
        <>
          <IconButton icon="keyboard" label={t.keys.title} onClick={() => setIsSheetOpen(true)} />
          {session.user && <SignOut isSmall />}
        </>
      }
    >
      <IncomingCall />
      <ErrorBoundary resetKey={path} onCopyDebug={copyDebugInfo}>
        <Suspense fallback={<Loading />}>
          <Switch>
            <Route path="/" component={PhoneScreen} />
            <Route path="/calls" component={CallsScreen} />
            <Route path="/calls/:sid">{({ sid }) => <CallScreen key={sid} sid={sid} />}</Route>
            <Route path="/calls/:sid/live">{({ sid }) => <LiveScreen key={sid} sid={sid} />}</Route>
            <Route path="/settings" component={SettingsScreen} />
            <Route>
              <Empty title={t.errors.noSuchPage} action={<Link href="/">{t.errors.toPhone}</Link>}>
                {t.errors.noSuchPageHint}
              </Empty>
            </Route>
          </Switch>
        </Suspense>
      </ErrorBoundary>
      <Suspense>
        <ConfirmIdentity />
      </Suspense>
      {isSheetOpen && <ShortcutSheet onClose={() => setIsSheetOpen(false)} />}
    </Shell>
  );
}

/** Resets the page for another user. */
function forgetAll() {
  phone.reset();
  forgetCalls();
}
