/** The recorded call that a server without an account plays on request. */
import { useMutation, useQuery } from '@tanstack/react-query';
import { api, messageOf, unwrap } from '../api/client';
import { queries, simulationQuery } from '../api/queries';
import { complain } from '../ui/toasts';

/** Where calls can be simulated: how to begin one, or to find the one that plays. */
export function useSimulation(onPlaying: (callSid: string) => void) {
  const { data, isPending } = useQuery(simulationQuery);
  const begun = useMutation({
    mutationFn: begin,
    onSuccess: onPlaying,
    onError: (error) => complain(messageOf(error)),
  });
  return {
    /** Undefined while the server has not said. */
    isAvailable: isPending ? undefined : data?.available === true,
    isBusy: begun.isPending,
    play: () => begun.mutate(),
  };
}

/** One at a time: the one that plays, or a new one. */
async function begin(): Promise<string> {
  const { callSid } = await queries.fetchQuery({ ...simulationQuery, staleTime: 0 });
  return callSid ?? (await unwrap(api.POST('/api/simulation'))).callSid;
}
