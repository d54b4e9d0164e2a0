/** Stored calls for tests: the recorded one, transcribed by the real engine. */
import { expect, type Server } from './server';

const asScript = (server: Server) => ({ authorization: `Bearer ${server.pageKey()}` });

/** Starts the recorded call; returns its SID. */
export async function startCall(server: Server): Promise<string> {
  const answer = await fetch(`${server.url}/api/simulation`, {
    method: 'POST',
    headers: asScript(server),
  });
  expect(answer.status).toBe(201);
  const { callSid } = await answer.json();
  return callSid;
}

/** Plays the recorded call until its transcript is complete; returns its SID. */
export async function completedCall(server: Server): Promise<string> {
  const sid = await startCall(server);
  const headers = asScript(server);
  const read = async () => {
    const answer = await fetch(`${server.url}/api/calls/${sid}`, { headers });
    const { status, transcript, hasAudio } = await answer.json();
    return { status, transcript, hasAudio };
  };
  await expect
    .poll(read, { timeout: 90_000 })
    .toEqual({ status: 'completed', transcript: 'complete', hasAudio: true });
  return sid;
}
