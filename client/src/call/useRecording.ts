/** Controls the recording of a call. The state shown is always that of the server. */
import { useMutation, useQuery } from '@tanstack/react-query';
import { ApiError, api, messageOf, unwrap } from '../api/client';
import { simulationQuery } from '../api/queries';
import type { Recording, RecordingStatus } from '../api/types';
import { useLiveCall } from '../live/store';
import { showError } from '../ui/toasts';
import { type Command, commandsOf, isRecordingUnavailable } from './recording';

export interface RecordingState {
  status: RecordingStatus | null;
  commands: readonly Command[];
  /** A command has been sent and has no response yet. */
  isBusy: boolean;
  send: (command: Command) => void;
}

/** Undefined where recording is impossible: without an account, or without a call in progress. */
export function useRecording(callSid: string): RecordingState | undefined {
  const status = useLiveCall(callSid, (call) => call.recording) ?? null;
  const isInProgress = useLiveCall(callSid, (call) => call.status === 'in-progress');
  // A server that can play a simulated call has no account.
  const { data: simulation } = useQuery(simulationQuery);
  const mutation = useMutation({
    mutationFn: (command: Command) => request(callSid, command),
    onError: (error) => {
      if (!isRecordingUnavailable(codeOf(error))) showError(messageOf(error));
    },
  });
  const isRunning = status === 'in-progress' || status === 'paused';
  if (
    isRecordingUnavailable(codeOf(mutation.error)) ||
    simulation === undefined ||
    simulation.available
  )
    return undefined;
  if (!isInProgress)
    return isRunning ? { status, commands: [], isBusy: false, send: () => {} } : undefined;
  return {
    status,
    commands: commandsOf(status),
    isBusy: mutation.isPending,
    send: (command) => {
      if (!mutation.isPending) mutation.mutate(command);
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
