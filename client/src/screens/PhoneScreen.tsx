/** The phone: the way to go online, the keys to dial, or the call that goes on. */
import { useEffect, useState } from 'react';
import { useLocation, useSearchParams } from 'wouter';
import { SimulatedCall } from '../call/SimulatedCall';
import { useSimulation } from '../call/simulation';
import { ActiveCall } from '../phone/ActiveCall';
import { Dialler } from '../phone/Dialler';
import { fill, useCountry } from '../phone/draft';
import { dial, goOffline, goOnline } from '../phone/driver';
import { EndedCall } from '../phone/EndedCall';
import { Gate } from '../phone/Gate';
import { LineState } from '../phone/LineState';
import type { Line } from '../phone/phone';
import { Recents } from '../phone/Recents';
import { tell, usePhone } from '../phone/store';
import { Welcome } from '../phone/Welcome';
import { t } from '../strings';
import { Button } from '../ui/controls';
import css from './PhoneScreen.module.css';

export function PhoneScreen() {
  const call = usePhone((phone) => phone.call);
  const [watched, setWatched] = useState<string>();
  useNumberInLink();
  if (call && call.stage.name !== 'ended') return <ActiveCall call={call} />;
  if (watched)
    return (
      <div className={css.watched}>
        <Button look="quiet" icon="back" onClick={() => setWatched(undefined)}>
          {t.phone.welcome.close}
        </Button>
        <SimulatedCall callSid={watched} />
      </div>
    );
  return <Idle onWatch={setWatched} />;
}

function Idle({ onWatch }: { onWatch: (callSid: string) => void }) {
  const line = usePhone((phone) => phone.line);
  const call = usePhone((phone) => phone.call);
  const isReady = line.name === 'online' || line.name === 'lost';
  const onCall = line.name === 'online' ? dial : undefined;
  return (
    <div className={css.idle}>
      <div className={css.phone}>
        <div className={css.head}>
          <h1>{t.phone.title}</h1>
          {isReady && <LineState line={line} onGoOffline={goOffline} />}
        </div>
        {call?.stage.name === 'ended' ? (
          <EndedCall
            call={call}
            stage={call.stage}
            onCall={onCall}
            onDone={() => tell({ type: 'put-away' })}
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

/** Nobody can be called yet: one goes online, or where there is no account, watches a call. */
function NotReady({ line, onWatch }: { line: Line; onWatch: (callSid: string) => void }) {
  const { isAvailable, isBusy, play } = useSimulation(onWatch);
  if (isAvailable === undefined) return null;
  return isAvailable ? (
    <Welcome isBusy={isBusy} onPlay={play} />
  ) : (
    <Gate line={line} onGoOnline={() => void goOnline()} />
  );
}

/** `/?to=…` fills the field in, and calls nobody. */
function useNumberInLink() {
  const [, go] = useLocation();
  const country = useCountry();
  const to = useSearchParams()[0].get('to');
  useEffect(() => {
    if (to === null) return;
    // A plus that was not encoded is a space.
    fill(to.replace(/^ /, '+'), country);
    // So that going back or loading again does not bring it back.
    go('/', { replace: true });
  }, [to, go, country]);
}
