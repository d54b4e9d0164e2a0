/** A fake of the recording API of Twilio, which executes each request at once. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { join } from 'node:path';

const CALL = /\/Calls\/(CA[0-9a-f]{32})\/Recordings(?:\/(\w+))?\.json$/;
const WHERE = /\/Calls(?:\/CA[0-9a-f]{32})?\.json(?:\?.*)?$/;
const MEDIA = /\/Recordings\/RE[0-9a-f]{32}\.wav\?RequestedChannels=\d$/;

/** The audio of every recording: some seconds of speech. */
const SOUND = readFileSync(join(import.meta.dirname, '../../fixtures/prompts/dashwood.wav'));

export class Recordings {
  /** The received commands in order: `start`, or a status. */
  readonly asked: string[] = [];
  /** The byte ranges that were requested. */
  readonly ranges: string[] = [];
  readonly url: string;
  readonly #server: Server;

  constructor(server: Server, url: string) {
    this.#server = server;
    this.url = url;
    server.on('request', (request, response) => void this.#answer(request, response));
  }

  close() {
    this.#server.close();
  }

  async #answer(request: IncomingMessage, response: ServerResponse) {
    if (request.method === 'GET' && MEDIA.test(request.url ?? '')) {
      this.#play(request, response);
      return;
    }
    if (request.method === 'GET' && WHERE.test(request.url ?? '')) {
      // The status of calls is unknown here: the tests report it by callbacks.
      response.writeHead(503, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ code: 20503, message: 'not known here', status: 503 }));
      return;
    }
    let body = '';
    for await (const part of request) body += String(part);
    const [, callSid, which] = CALL.exec(request.url ?? '') ?? [];
    if (!callSid || request.method !== 'POST') {
      response.writeHead(404, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ code: 20404, message: 'not found', status: 404 }));
      return;
    }
    const status = which ? (new URLSearchParams(body).get('Status') ?? '') : 'in-progress';
    this.asked.push(which ? status : 'start');
    const sid = `RE${callSid.slice(2)}`;
    response.writeHead(which ? 200 : 201, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ sid, call_sid: callSid, status, channels: 2 }));
  }

  #play({ headers: { range = 'bytes=0-' } }: IncomingMessage, response: ServerResponse) {
    this.ranges.push(range);
    const [, from = '0', to] = /^bytes=(\d+)-(\d*)$/.exec(range) ?? [];
    const part = SOUND.subarray(Number(from), to ? Number(to) + 1 : undefined);
    const last = Number(from) + part.length - 1;
    response.writeHead(206, {
      'content-type': 'audio/x-wav',
      'content-length': part.length,
      'content-range': `bytes ${from}-${last}/${SOUND.length}`,
      'accept-ranges': 'bytes',
    });
    response.end(part);
  }
}

/** Starts it on a free port. */
export async function openRecordings(): Promise<Recordings> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port is free');
  return new Recordings(server, `http://127.0.0.1:${address.port}`);
}
