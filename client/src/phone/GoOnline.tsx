/** Explains what going online means, and why it failed. */
import { useState } from 'react';
import { t } from '../strings';
import { Button, Spinner } from '../ui/controls';
import { Dialog } from '../ui/Dialog';
import { Devices } from './Devices';
import css from './GoOnline.module.css';
import { Problem } from './Problem';
import type { Line } from './phoneState';

export function GoOnline({ line, onGoOnline }: { line: Line; onGoOnline: () => void }) {
  const [showsDevices, setShowsDevices] = useState(false);
  const isGoing = line.name === 'going-online';
  const { offline } = t.phone;
  return (
    <section className={css.goOnline}>
      <h2>{offline.title}</h2>
      <p className={css.body}>{offline.body}</p>
      {line.name === 'offline' && line.error && <Problem error={line.error} />}
      <Button look="primary" size="large" icon="phone" disabled={isGoing} onClick={onGoOnline}>
        {isGoing ? offline.goingOnline : offline.goOnline}
      </Button>
      {isGoing && <Spinner label={offline.goingOnline} />}
      <Button look="quiet" icon="mic" onClick={() => setShowsDevices(true)}>
        {offline.devices}
      </Button>
      <p className={`${css.small} ${css.mobile}`}>{offline.mobile}</p>
      {showsDevices && (
        <Dialog title={offline.devices} onClose={() => setShowsDevices(false)}>
          <Devices />
        </Dialog>
      )}
    </section>
  );
}
