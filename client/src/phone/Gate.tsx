/** Before the phone is one: what going online means, and why it did not work. */
import { useState } from 'react';
import { t } from '../strings';
import { Button, Spinner } from '../ui/controls';
import { Dialog } from '../ui/Dialog';
import { Devices } from './Devices';
import css from './Gate.module.css';
import { Problem } from './Problem';
import type { Line } from './phone';

export function Gate({ line, onGoOnline }: { line: Line; onGoOnline: () => void }) {
  const [showsDevices, setShowsDevices] = useState(false);
  const isGoing = line.name === 'going-online';
  const { gate } = t.phone;
  return (
    <section className={css.gate}>
      <h2>{gate.title}</h2>
      <p className={css.body}>{gate.body}</p>
      {line.name === 'offline' && line.trouble && <Problem trouble={line.trouble} />}
      <Button look="primary" size="large" icon="phone" disabled={isGoing} onClick={onGoOnline}>
        {isGoing ? gate.goingOnline : gate.goOnline}
      </Button>
      {isGoing && <Spinner label={gate.goingOnline} />}
      <Button look="quiet" icon="mic" onClick={() => setShowsDevices(true)}>
        {gate.devices}
      </Button>
      <p className={`${css.small} ${css.mobile}`}>{gate.mobile}</p>
      {showsDevices && (
        <Dialog title={gate.devices} onClose={() => setShowsDevices(false)}>
          <Devices />
        </Dialog>
      )}
    </section>
  );
}
