/** Calls for the history's tests: the recorded one, through the real engine. */
import { expect } from './server';

/** Begins the recorded call; its SID. */
export async function beginCall(url: string): Promise<string> {
  const answer = await fetch(`${url}/api/simulation`, {
    method: 'POST',
    headers: { origin: url, 'content-type': 'application/json' },
  });
  expect(answer.status).toBe(201);
  const { callSid } = await answer.json();
  return callSid;
}

/** Plays the recorded call until its words are whole; its SID. */
export async function completedCall(url: string): Promise<string> {
  const sid = await beginCall(url);
  const read = async () => {
    const { status, transcript, hasAudio } = await (await fetch(`${url}/api/calls/${sid}`)).json();
    return { status, transcript, hasAudio };
  };
  await expect
    .poll(read, { timeout: 90_000 })
    .toEqual({ status: 'completed', transcript: 'complete', hasAudio: true });
  return sid;
}
