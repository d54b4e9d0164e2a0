/** The screens, and who gets to see them. */
import { useQuery } from '@tanstack/react-query';
import { lazy, Suspense, useEffect, useState } from 'react';
import { Link, Route, Switch, useLocation } from 'wouter';
import { messageOf } from './api/client';
import { sessionQuery } from './api/queries';
import type { SessionState } from './api/types';
import { hearKeys, useKeys } from './keys/keys';
import { Sheet } from './keys/Sheet';
import { forgetCalls, keepAwake } from './live/store';
import { CallBar } from './phone/CallBar';
import { forgetPhone, renewPass } from './phone/driver';
import { IncomingCall } from './phone/IncomingCall';
import { LineBanner } from './phone/LineState';
import { isCarrying } from './phone/phone';
import { phoneStore } from './phone/store';
import { WaitingCall } from './phone/WaitingCall';
import { PhoneScreen } from './screens/PhoneScreen';
import { SignOut } from './session/Account';
import { Notices } from './session/Notices';
import { watchServer } from './session/reach';
import {
  endsWithSession,
  identityOf,
  isIn,
  type Ongoing,
  remember,
  useLastSession,
} from './session/session';
import { copyDebugInfo } from './settings/debug_parts';
import { t } from './strings';
import { Boundary } from './ui/Boundary';
import { Button, Empty, IconButton, Loading } from './ui/controls';
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
const OwnPassword = lazy(async () => ({
  default: (await import('./session/OwnPassword')).OwnPassword,
}));
const FirstFactor = lazy(async () => ({
  default: (await import('./session/FirstFactor')).FirstFactor,
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
      <Boundary resetKey={path} onCopyDebug={copyDebugInfo}>
        <Suspense fallback={<Loading />}>
          <Switch>
            <Route path="/open">
              <OpenScreen />
            </Route>
            <Route path="/setup">
              <SetupScreen />
            </Route>
            <Route>
              <Gate />
            </Route>
          </Switch>
        </Suspense>
      </Boundary>
      <Toasts />
    </>
  );
}

/**
 * Nobody passes unless signed in, or the server is open. Whoever was let in keeps their screens
 * when the session is lost, and with them a call and what they typed.
 */
function Gate() {
  const session = useQuery(sessionQuery);
  const last = useLastSession();
  useEffect(() => {
    if (session.data && isIn(session.data)) remember(session.data);
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
  const shown = isIn(session.data) ? session.data : last;
  if (!shown) return <SignInScreen session={session.data} />;
  const { user, secondFactorNeeded } = session.data;
  if (user?.passwordIsTemporary) return <OwnPassword user={user} />;
  if (secondFactorNeeded) return <FirstFactor />;
  return <Page key={identityOf(shown)} session={session.data} last={shown} />;
}

/** What signing out ends. */
const phone: Ongoing = {
  isBusy: () => isCarrying(phoneStore.getState()),
  end: forgetPhone,
  resume: renewPass,
};

/** Everything behind the gate, for one user. */
function Page({ session, last }: { session: SessionState; last: SessionState }) {
  const [path, navigate] = useLocation();
  const [isSheetOpen, setIsSheetOpen] = useState(false);
  useEffect(keepAwake, []);
  useEffect(hearKeys, []);
  useEffect(() => endsWithSession(phone), []);
  useEffect(() => forgetAll, []);
  useKeys(
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
      <Boundary resetKey={path} onCopyDebug={copyDebugInfo}>
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
      </Boundary>
      <Suspense>
        <ConfirmIdentity />
      </Suspense>
      {isSheetOpen && <Sheet onClose={() => setIsSheetOpen(false)} />}
    </Shell>
  );
}

/** Somebody else uses the page now, or nobody. */
function forgetAll() {
  forgetPhone();
  forgetCalls();
}
