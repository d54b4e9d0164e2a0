import { expect, it } from 'vitest';
import { expiresAt } from './expiry';

it('counts days from now, or does not expire', () => {
  const now = new Date('2026-11-25T09:30:00Z');
  expect(expiresAt(30, now)).toBe('2026-12-25T09:30:00.000Z');
  expect(expiresAt(0, now)).toBeNull();
});
