/**
 * Classifies errors of the Voice SDK and Twilio by their codes, and those of the browser and the
 * server. Pure: the texts are in `strings/phone.ts`. Sources:
 * <https://www.twilio.com/docs/api/errors> and the SDK's own list of errors.
 */
import { ApiError } from '../api/client';
import type { PhoneErrorCause } from '../strings/phoneStates';

/** An error that the phone shows: `cause` selects the text, `code` helps to look it up. */
export interface PhoneError {
  readonly cause: PhoneErrorCause;
  /** Twilio's error code, if there is one. */
  readonly code: number | null;
  /** The server's message, where it says more than the page's own text. */
  readonly message: string | null;
}

const CAUSE_BY_CODE: Readonly<Record<number, PhoneErrorCause>> = {
  20101: 'token-refused',
  20104: 'token-expired',
  20151: 'token-refused',
  20157: 'token-refused',
  31000: 'no-line',
  31001: 'app',
  31002: 'declined',
  31003: 'no-media',
  31005: 'no-line',
  31008: 'gone',
  31009: 'no-line',
  31100: 'bad-request',
  31101: 'bad-request',
  31102: 'token-refused',
  31103: 'bad-request',
  31104: 'bad-request',
  31105: 'identity',
  31107: 'bad-request',
  31201: 'token-refused',
  31202: 'token-refused',
  31203: 'account',
  31204: 'token-refused',
  31205: 'token-expired',
  31206: 'too-often',
  31207: 'token-expired',
  31208: 'no-permission',
  31209: 'gone',
  31210: 'bad-request',
  31212: 'bad-request',
  31400: 'bad-request',
  31401: 'no-permission',
  31402: 'no-microphone',
  31403: 'account',
  31404: 'not-found',
  31480: 'unavailable',
  31486: 'busy',
  31487: 'gone',
  31500: 'no-line',
  31502: 'no-line',
  31503: 'no-line',
  31504: 'timed-out',
  31530: 'no-line',
  31600: 'busy',
  31603: 'declined',
  51003: 'identity',
  51004: 'identity',
  51007: 'token-refused',
  53000: 'no-line',
  53001: 'no-line',
  53400: 'no-media',
  53402: 'no-media',
  53405: 'line-blocked',
};

/** Returns the error for one of Twilio's error codes. */
export function phoneErrorOfCode(code: number): PhoneError {
  return { cause: CAUSE_BY_CODE[code] ?? 'unknown', code, message: null };
}

/** Names of the errors that `getUserMedia` throws. */
const CAUSE_BY_NAME: Readonly<Record<string, PhoneErrorCause>> = {
  NotAllowedError: 'no-permission',
  PermissionDeniedError: 'no-permission',
  SecurityError: 'no-permission',
  NotFoundError: 'no-microphone',
  OverconstrainedError: 'no-microphone',
  NotReadableError: 'microphone-busy',
  AbortError: 'microphone-busy',
};

/** Returns an error without one of Twilio's codes. */
export const phoneError = (cause: PhoneErrorCause, message: string | null = null): PhoneError => ({
  cause,
  code: null,
  message,
});

/** Returns the error for anything that was thrown on the way to a call. */
export function toPhoneError(thrown: unknown): PhoneError {
  if (thrown instanceof ApiError)
    return thrown.status === 0 ? phoneError('no-internet') : phoneError('server', thrown.message);
  if (typeof thrown !== 'object' || thrown === null) return phoneError('unknown');
  if ('code' in thrown && typeof thrown.code === 'number' && thrown.code >= 20_000)
    return phoneErrorOfCode(thrown.code);
  if (thrown instanceof TypeError && /import|module/i.test(thrown.message))
    return phoneError('sdk-not-loaded');
  const name = 'name' in thrown && typeof thrown.name === 'string' ? thrown.name : '';
  return phoneError(CAUSE_BY_NAME[name] ?? 'unknown');
}

/** Tells whether only another token helps: the SDK does not reconnect by itself. */
export const needsToken = ({ cause }: PhoneError): boolean =>
  cause === 'token-expired' || cause === 'token-refused';
