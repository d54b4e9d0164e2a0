/** Requests to the server: typed by its contract, failing in one shape. */
import createClient from 'openapi-fetch';
import { sentence } from '../format';
import { t } from '../strings';
import type { paths } from './schema';

/**
 * A request that the server refused, or that did not reach it. `message` is for people: what
 * happened and what to do.
 */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  /** Stable, in snake case; `unreachable` when no answer came. */
  readonly code: string;
  /** HTTP status; 0 when no answer came. */
  readonly status: number;
  /** Finds the failure in the server's log. */
  readonly requestId: string | undefined;
  /** When the server lets it be tried again, if it said so. */
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

const requests = createClient<paths>({
  // The page's own, written out: a `Request` outside of a page knows no other.
  baseUrl: globalThis.location?.origin ?? '',
  // Looked up at each request, so that tests can stand in for it.
  fetch: (request) => globalThis.fetch(request),
});

/** The contract's verbs: `await unwrap(api.GET('/api/calls', …))`. */
export const api = requests;

type Answer<T> = { data?: T; error?: unknown; response: Response };

/** What the server answered, or an `ApiError`. */
export async function unwrap<T>(request: Promise<Answer<T>>): Promise<T> {
  let answer: Answer<T>;
  try {
    answer = await request;
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === 'AbortError') throw cause;
    throw new ApiError('unreachable', t.errors.unreachable, 0);
  }
  if (answer.response.ok) return answer.data as T;
  const waitSeconds = Number(answer.response.headers.get('retry-after')) || undefined;
  throw refusal(answer.error, answer.response.status, waitSeconds);
}

/** An error of ours out of a body that may be anything: a proxy has its own. */
export function refusal(body: unknown, status: number, waitSeconds?: number): ApiError {
  const error = (body as { error?: { code?: unknown; message?: unknown; requestId?: unknown } })
    ?.error;
  if (typeof error?.code === 'string' && typeof error.message === 'string') {
    const requestId = typeof error.requestId === 'string' ? error.requestId : undefined;
    return new ApiError(error.code, sentence(error.message), status, requestId, waitSeconds);
  }
  return new ApiError('unexpected', t.errors.unexpected(status), status);
}

/** What to show for anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof ApiError ? error.message : t.errors.inThePage;
}
