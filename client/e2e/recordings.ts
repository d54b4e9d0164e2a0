/** The part of Twilio's REST API that records calls: what it is asked to do, it has done. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';

const CALL = /\/Calls\/(CA[0-9a-f]{32})\/Recordings(?:\/(\w+))?\.json$/;

export class Recordings {
  /** What was asked for, in order: `start`, or a status. */
  readonly asked: string[] = [];
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
}

/** Opens it on a port of its own. */
export async function openRecordings(): Promise<Recordings> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port is free');
  return new Recordings(server, `http://127.0.0.1:${address.port}`);
}
