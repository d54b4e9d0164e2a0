/** Asks the server to record a call, and says only what the server says. */
import { useMutation, useQuery } from '@tanstack/react-query';
import { ApiError, api, messageOf, unwrap } from '../api/client';
import { simulationQuery } from '../api/queries';
import type { Recording, RecordingStatus } from '../api/types';
import { useLiveCall } from '../live/store';
import { complain } from '../ui/toasts';
import { type Command, commandsOf, isUnavailable } from './recording';

export interface RecordingState {
  status: RecordingStatus | null;
  commands: readonly Command[];
  /** A command is on its way, and its answer not here. */
  isBusy: boolean;
  ask: (command: Command) => void;
}

/** Undefined where nothing can be recorded: no account, or no call that goes on. */
export function useRecording(callSid: string): RecordingState | undefined {
  const status = useLiveCall(callSid, (call) => call.recording) ?? null;
  const isTalk = useLiveCall(callSid, (call) => call.status === 'in-progress');
  // Calls are simulated where there is no account.
  const { data: simulation } = useQuery(simulationQuery);
  const asked = useMutation({
    mutationFn: (command: Command) => request(callSid, command),
    onError: (error) => {
      if (!isUnavailable(codeOf(error))) complain(messageOf(error));
    },
  });
  const isRunning = status === 'in-progress' || status === 'paused';
  if (isUnavailable(codeOf(asked.error)) || simulation === undefined || simulation.available)
    return undefined;
  if (!isTalk)
    return isRunning ? { status, commands: [], isBusy: false, ask: () => {} } : undefined;
  return {
    status,
    commands: commandsOf(status),
    isBusy: asked.isPending,
    ask: (command) => {
      if (!asked.isPending) asked.mutate(command);
    },
  };
}

function request(sid: string, command: Command): Promise<Recording> {
  const params = { params: { path: { sid } } };
  switch (command) {
    case 'start':
      return unwrap(api.POST('/api/calls/{sid}/recording/start', params));
    case 'pause':
      return unwrap(api.POST('/api/calls/{sid}/recording/pause', params));
    case 'resume':
      return unwrap(api.POST('/api/calls/{sid}/recording/resume', params));
    case 'stop':
      return unwrap(api.POST('/api/calls/{sid}/recording/stop', params));
    default:
      return command satisfies never;
  }
}

const codeOf = (error: unknown) => (error instanceof ApiError ? error.code : undefined);
