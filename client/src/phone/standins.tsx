/** Until the live call's own parts are merged: what the phone needs of them. */
import type { ReactNode } from 'react';
import css from './standins.module.css';

export function CallFrame({
  title,
  state,
  controls,
  children,
}: {
  title: string;
  state: ReactNode;
  controls?: ReactNode;
  children: ReactNode;
}) {
  return (
    <div className={css.frame}>
      <header className={css.head}>
        <h1>{title}</h1>
        <div>{state}</div>
      </header>
      <div className={css.words}>{children}</div>
      {controls && <footer className={css.dock}>{controls}</footer>}
    </div>
  );
}

export const LiveTranscript = ({ callSid }: { callSid: string }) => (
  <div data-call={callSid} className={css.empty} />
);

export const RecordingControl = (_: { callSid: string }) => null;

export const SimulatedCall = ({ callSid }: { callSid: string }) => (
  <CallFrame title={callSid} state="">
    <LiveTranscript callSid={callSid} />
  </CallFrame>
);
