/** The simulated call: a recorded one that a server without an account plays on request. */
import { useMutation, useQuery } from '@tanstack/react-query';
import { api, messageOf, unwrap } from '../api/client';
import { queries, simulationQuery } from '../api/queries';
import { showError } from '../ui/toasts';

/** Starts the simulated call, or finds the one that plays. */
export function useSimulation(onPlaying: (callSid: string) => void) {
  const { data, isPending } = useQuery(simulationQuery);
  const start = useMutation({
    mutationFn: startOrFind,
    onSuccess: onPlaying,
    onError: (error) => showError(messageOf(error)),
  });
  return {
    /** Undefined until the server has responded. */
    isAvailable: isPending ? undefined : data?.available === true,
    isBusy: start.isPending,
    play: () => start.mutate(),
  };
}

/** Only one simulated call plays at a time. */
async function startOrFind(): Promise<string> {
  const { callSid } = await queries.fetchQuery({ ...simulationQuery, staleTime: 0 });
  return callSid ?? (await unwrap(api.POST('/api/simulation'))).callSid;
}
