/** Requests of the phone to the server. */
import { api, unwrap } from '../api/client';
import { callQuery, noteSignedOut, queries } from '../api/queries';
import type { AccessToken } from './accessToken';
import type { RegistrationBody } from './registration';

export interface PhoneServer {
  /** Requests an access token for the tab of this name. */
  requestAccessToken: (tabName: string) => Promise<AccessToken>;
  register: (body: RegistrationBody) => Promise<unknown>;
  /** Never rejects. */
  unregister: (id: string) => Promise<unknown>;
  /** Reports that this page answered a call, and returns the SID that the server knows it by. */
  confirmAnswered: (sid: string) => Promise<string>;
  /** Checks the session again if the error says that nobody is signed in. */
  noteSignedOut: (thrown: unknown) => void;
  /** Marks what the page remembers of a call as stale. */
  refreshCall: (sid: string) => void;
  /** Marks the lists of calls as stale. */
  refreshCalls: () => void;
}

export const phoneServer: PhoneServer = {
  requestAccessToken,
  register: (body) => unwrap(api.POST('/api/registrations', { body })),
  unregister: (id) =>
    api
      .DELETE('/api/registrations/{id}', { params: { path: { id } }, keepalive: true })
      // A server that is down rings nobody; the registration ends with its access token.
      .catch(() => undefined),
  confirmAnswered: async (sid) =>
    (await unwrap(api.POST('/api/calls', { body: { sid, direction: 'incoming' } }))).sid,
  noteSignedOut,
  refreshCall: (sid) => void queries.invalidateQueries(callQuery(sid)),
  refreshCalls: () => void queries.invalidateQueries({ queryKey: ['calls'] }),
};

/** Takes the token's life from the server's clock: this browser's may be wrong. */
async function requestAccessToken(tabName: string): Promise<AccessToken> {
  let servedAt = new Date().toUTCString();
  const request = api
    .GET('/api/token', { params: { query: { browser: tabName } } })
    .then((answer) => {
      servedAt = answer.response.headers.get('date') ?? servedAt;
      return answer;
    });
  const { token, identity, expiresAt, edge } = await unwrap(request);
  return {
    token,
    identity,
    browser: tabName,
    expiresAt,
    edge: edge ?? null,
    receivedAtMs: Date.now(),
    lifeMs: Date.parse(expiresAt) - Date.parse(servedAt),
  };
}
