/** The screens, and who gets to see them. */
import { useQuery } from '@tanstack/react-query';
import { lazy, Suspense, useEffect } from 'react';
import { Link, Route, Switch } from 'wouter';
import { messageOf } from './api/client';
import { sessionQuery } from './api/queries';
import { forgetCalls, keepAwake } from './live/store';
import { CallBar } from './phone/CallBar';
import { forgetPhone } from './phone/driver';
import { IncomingCall } from './phone/IncomingCall';
import { LineBanner } from './phone/LineState';
import { PhoneScreen } from './screens/PhoneScreen';
import { t } from './strings';
import { Button, Empty, Spinner } from './ui/controls';
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
const SetupScreen = lazy(async () => ({
  default: (await import('./screens/SetupScreen')).SetupScreen,
}));

export function App() {
  return (
    <Suspense fallback={<Spinner label={t.ui.loading} />}>
      <Switch>
        <Route path="/setup">
          <SetupScreen />
        </Route>
        <Route>
          <Gate />
        </Route>
      </Switch>
      <Toasts />
    </Suspense>
  );
}

/** Nobody passes unless signed in, or the server is open. */
function Gate() {
  const session = useQuery(sessionQuery);
  const user = session.data?.user?.id;
  const isIn = session.data?.open || user != null;
  useEffect(keepAwake, []);
  // biome-ignore lint/correctness/useExhaustiveDependencies: whenever another user is there
  useEffect(() => forgetAll, [user]);
  if (session.isPending) return <Spinner label={t.ui.loading} />;
  if (session.isError)
    return (
      <Empty
        title={messageOf(session.error)}
        action={<Button onClick={() => session.refetch()}>{t.ui.retry}</Button>}
      />
    );
  if (!isIn) return <SignInScreen session={session.data} />;
  return (
    <Shell
      banners={
        <>
          <LineBanner />
          <CallBar />
        </>
      }
    >
      <IncomingCall />
      <Suspense fallback={<Spinner label={t.ui.loading} />}>
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
    </Shell>
  );
}

/** Somebody else uses the page now, or nobody. */
function forgetAll() {
  forgetPhone();
  forgetCalls();
}
