import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ApiError } from '../api/client';
import { phoneServer } from './server';

const NOW = Date.parse('2030-01-01T12:00:00Z');
const fetch = vi.fn<(request: Request) => Promise<Response>>();

beforeEach(() => {
  vi.useFakeTimers({ now: NOW });
  vi.stubGlobal('fetch', fetch);
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
  fetch.mockReset();
});

const requested = () => {
  const [request] = fetch.mock.lastCall ?? [];
  return request && `${request.method} ${request.url.replace(window.location.origin, '')}`;
};

describe('an access token', () => {
  const body = { token: 'jwt', identity: 'ada.tab', expiresAt: '2030-01-01T13:00:00Z' };

  it('lives by the clock of the server, which may be another', async () => {
    const headers = { date: 'Tue, 01 Jan 2030 12:50:00 GMT' };
    fetch.mockResolvedValue(Response.json({ ...body, edge: 'dublin' }, { headers }));
    expect(await phoneServer.requestAccessToken('tab')).toEqual({
      ...body,
      edge: 'dublin',
      browser: 'tab',
      receivedAtMs: NOW,
      lifeMs: 10 * 60_000,
    });
    expect(requested()).toBe('GET /api/token?browser=tab');
  });

  it('lives by the clock of the browser without an answer of the server’s', async () => {
    fetch.mockResolvedValue(Response.json(body));
    expect(await phoneServer.requestAccessToken('tab')).toMatchObject({
      edge: null,
      lifeMs: 60 * 60_000,
    });
  });

  it('is refused with the words of the server', async () => {
    const error = { code: 'twilio_not_set_up', message: 'calls need A', requestId: 'r' };
    fetch.mockResolvedValue(Response.json({ error }, { status: 503 }));
    const refused = await phoneServer.requestAccessToken('tab').catch((thrown: unknown) => thrown);
    expect(refused).toBeInstanceOf(ApiError);
    expect(refused).toMatchObject({ code: 'twilio_not_set_up', status: 503 });
  });
});

describe('a registration', () => {
  it('ends without an error, even if the server is down', async () => {
    fetch.mockRejectedValue(new TypeError('Failed to fetch'));
    await expect(phoneServer.unregister('id-1')).resolves.toBeUndefined();
    expect(requested()).toBe('DELETE /api/registrations/id-1');
  });

  it('outlives the page that ends it', async () => {
    fetch.mockResolvedValue(new Response(null, { status: 204 }));
    await phoneServer.unregister('id-1');
    expect(fetch.mock.lastCall?.[0].keepalive).toBe(true);
  });
});

it('returns the SID by which the server knows an answered call', async () => {
  fetch.mockResolvedValue(Response.json({ sid: 'CA1' }));
  expect(await phoneServer.confirmAnswered('CA2')).toBe('CA1');
  expect(requested()).toBe('POST /api/calls');
  expect(await fetch.mock.lastCall?.[0].json()).toEqual({ sid: 'CA2', direction: 'incoming' });
});
