import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ApiError } from '../api/client';
import { t } from '../strings';
import { needsToken, phoneErrorOfCode, toPhoneError } from './errors';

describe('an error', () => {
  it('has a cause for every code that the SDK knows', () => {
    const list = readFileSync(
      'node_modules/@twilio/voice-sdk/esm/twilio/errors/generated.js',
      'utf8',
    );
    const codes = [...list.matchAll(/this\.code = (\d+)/g)].map(([, code]) => Number(code));
    expect(codes.length).toBeGreaterThan(30);
    for (const code of codes) expect([code, phoneErrorOfCode(code).cause]).not.toContain('unknown');
  });

  it('has a text, and says what to do', () => {
    for (const { what, todo } of Object.values(t.phone.errors)) {
      expect(what).toMatch(/\.$/);
      expect(todo).toMatch(/\.$/);
    }
  });

  it.each([
    [new DOMException('', 'NotAllowedError'), 'no-permission'],
    [new DOMException('', 'NotFoundError'), 'no-microphone'],
    [new DOMException('', 'NotReadableError'), 'microphone-busy'],
    [Object.assign(new Error(), { code: 31205 }), 'token-expired'],
    [new ApiError('unreachable', 'x', 0), 'no-internet'],
    [new ApiError('twilio_not_set_up', 'calls need A', 503), 'server'],
    [new TypeError('Failed to fetch dynamically imported module: x'), 'sdk-not-loaded'],
    ['what?', 'unknown'],
    [null, 'unknown'],
  ])('%s is %s', (thrown, cause) => expect(toPhoneError(thrown).cause).toBe(cause));

  it('keeps the message of the server', () => {
    const thrown = new ApiError('twilio_not_set_up', 'calls need TWILIO_API_KEY', 503);
    expect(toPhoneError(thrown).message).toBe('calls need TWILIO_API_KEY');
  });

  it('of a token needs another token', () => {
    expect(needsToken(phoneErrorOfCode(20104))).toBe(true);
    expect(needsToken(phoneErrorOfCode(31486))).toBe(false);
  });
});
