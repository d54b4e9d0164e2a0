/** The HTTP client: typed by the OpenAPI document of the server, with one type of error. */
import createClient from 'openapi-fetch';
import { sentence } from '../format/sentence';
import { t } from '../strings';
import type { paths } from './schema';

/**
 * A request that the server refused, or that did not reach it. `message` tells the user what
 * happened and what to do.
 */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  /** Stable, in snake case; `unreachable` when there was no response. */
  readonly code: string;
  /** HTTP status; 0 when there was no response. */
  readonly status: number;
  /** Identifies the request in the log of the server. */
  readonly requestId: string | undefined;
  /** The wait that the server asks for before another attempt (`Retry-After`). */
  readonly waitSeconds: number | undefined;

  constructor(
    code: string,
    message: string,
    status: number,
    requestId?: string,
    waitSeconds?: number,
  ) {
    super(message);
    this.code = code;
    this.status = status;
    this.requestId = requestId;
    this.waitSeconds = waitSeconds;
  }
}

/** Sends requests by method and path: `await unwrap(api.GET('/api/calls', …))`. */
export const api = createClient<paths>({
  // Spelled out, because a `Request` outside of a page has no base URL.
  baseUrl: globalThis.location?.origin ?? '',
  // Looked up at each request, so that tests can replace it.
  fetch: (request) => globalThis.fetch(request),
});

type Result<T> = { data?: T; error?: unknown; response: Response };

/** Returns the data of the response, or throws an `ApiError`. */
export async function unwrap<T>(request: Promise<Result<T>>): Promise<T> {
  let result: Result<T>;
  try {
    result = await request;
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === 'AbortError') throw cause;
    throw new ApiError('unreachable', t.errors.unreachable, 0);
  }
  if (result.response.ok) return result.data as T;
  const waitSeconds = Number(result.response.headers.get('retry-after')) || undefined;
  throw errorOf(result.error, result.response.status, waitSeconds);
}

/** Builds an `ApiError` from a response body of any shape: a proxy sends its own. */
export function errorOf(body: unknown, status: number, waitSeconds?: number): ApiError {
  const error = (body as { error?: { code?: unknown; message?: unknown; requestId?: unknown } })
    ?.error;
  if (typeof error?.code === 'string' && typeof error.message === 'string') {
    const requestId = typeof error.requestId === 'string' ? error.requestId : undefined;
    return new ApiError(error.code, sentence(error.message), status, requestId, waitSeconds);
  }
  return new ApiError('unexpected', t.errors.unexpected(status), status);
}

/** The text to show for a thrown value. */
export function messageOf(error: unknown): string {
  return error instanceof ApiError ? error.message : t.errors.inThePage;
}
