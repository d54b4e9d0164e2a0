/** Where calls can be simulated: a recorded one to watch. */
import { useMutation, useQuery } from '@tanstack/react-query';
import { api, messageOf, unwrap } from '../api/client';
import { simulationQuery } from '../api/queries';
import { t } from '../strings';
import { Button } from '../ui/controls';
import { complain } from '../ui/toasts';
import css from './Simulation.module.css';

export function Simulation({ onWatch }: { onWatch: (callSid: string) => void }) {
  const simulation = useQuery(simulationQuery).data;
  const start = useMutation({
    mutationFn: () => unwrap(api.POST('/api/simulation')),
    onSuccess: ({ callSid }) => onWatch(callSid),
    onError: (error) => complain(messageOf(error)),
  });
  if (!simulation?.available) return null;
  const running = simulation.callSid;
  return (
    <div className={css.simulation}>
      <Button
        icon="play"
        disabled={start.isPending}
        onClick={() => (running ? onWatch(running) : start.mutate())}
      >
        {t.phone.simulation.watch}
      </Button>
      <p>{t.phone.simulation.hint}</p>
    </div>
  );
}
