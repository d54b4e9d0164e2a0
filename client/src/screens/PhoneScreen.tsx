/** The phone screen: going online, dialling, or the current call. */
import { useEffect, useState } from 'react';
import { useLocation, useSearchParams } from 'wouter';
import { useSimulation } from '../call/simulation';
import { WatchedCall } from '../call/WatchedCall';
import { ActiveCall } from '../phone/ActiveCall';
import { Dialler } from '../phone/Dialler';
import { fill, useCountry } from '../phone/draft';
import { EndedCall } from '../phone/EndedCall';
import { GoOnline } from '../phone/GoOnline';
import { phone, usePhone } from '../phone/instance';
import { LineState } from '../phone/LineState';
import type { Line } from '../phone/phoneState';
import { Recents } from '../phone/Recents';
import { Welcome } from '../phone/Welcome';
import { t } from '../strings';
import { Button } from '../ui/controls';
import css from './PhoneScreen.module.css';

const dial = (e164: string) => phone.dial(e164);

export function PhoneScreen() {
  const call = usePhone((state) => state.call);
  const [watched, setWatched] = useState<string>();
  useNumberInLink();
  if (call && call.stage.name !== 'ended') return <ActiveCall call={call} />;
  if (watched)
    return (
      <div className={css.watched}>
        <Button look="quiet" icon="back" onClick={() => setWatched(undefined)}>
          {t.phone.welcome.close}
        </Button>
        <WatchedCall callSid={watched} />
      </div>
    );
  return <Idle onWatch={setWatched} />;
}

function Idle({ onWatch }: { onWatch: (callSid: string) => void }) {
  const line = usePhone((state) => state.line);
  const call = usePhone((state) => state.call);
  const isReady = line.name === 'online' || line.name === 'lost';
  const onCall = line.name === 'online' ? dial : undefined;
  return (
    <div className={css.idle}>
      <div className={css.phone}>
        <div className={css.head}>
          <h1>{t.phone.title}</h1>
          {isReady && <LineState line={line} onGoOffline={() => phone.goOffline()} />}
        </div>
        {call?.stage.name === 'ended' ? (
          <EndedCall
            call={call}
            stage={call.stage}
            onCall={onCall}
            onDone={() => phone.dismissEndedCall()}
          />
        ) : isReady ? (
          <Dialler onCall={onCall} />
        ) : (
          <NotReady line={line} onWatch={onWatch} />
        )}
      </div>
      <Recents onCall={onCall} />
    </div>
  );
}

/** Shown while offline: going online, or the simulated call on a server without an account. */
function NotReady({ line, onWatch }: { line: Line; onWatch: (callSid: string) => void }) {
  const { isAvailable, isBusy, play } = useSimulation(onWatch);
  if (isAvailable === undefined) return null;
  return isAvailable ? (
    <Welcome isBusy={isBusy} onPlay={play} />
  ) : (
    <GoOnline line={line} onGoOnline={() => void phone.goOnline()} />
  );
}

/** `/?to=…` fills the number field without placing a call. */
function useNumberInLink() {
  const [, go] = useLocation();
  const country = useCountry();
  const to = useSearchParams()[0].get('to');
  useEffect(() => {
    if (to === null) return;
    // In a query an unencoded plus is a space.
    fill(to.replace(/^ /, '+'), country);
    // Back and reload must not fill the field again.
    go('/', { replace: true });
  }, [to, go, country]);
}
