import { expect, it } from 'vitest';
import { debugInfo } from './debugInfo';

const AT = new Date('2026-11-25T09:30:00Z');
const SID = 'CA0123456789abcdef0123456789abcdef';
const info = (facts: Record<string, string | number | boolean | null>) =>
  debugInfo([{ heading: 'Page', facts }], AT);

it('is readable text', () => {
  expect(info({ version: '0.1.0', online: true, lagMs: 120, error: null })).toBe(
    'CallBurner, 2026-11-25T09:30:00.000Z\n\n## Page\nversion: 0.1.0\nonline: true\nlagMs: 120\nerror: –\n',
  );
});

it('keeps SIDs and versions', () => {
  const browser = 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/150.0.0.0';
  expect(info({ call: SID, browser })).toContain(SID);
  expect(info({ browser })).toContain(browser);
});

it('redacts numbers and tokens in messages', () => {
  const token = `eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJTSyJ9.${'x'.repeat(43)}`;
  const secret = 'sNMbOUQE1RJ-226DaStTI8jB8BHCmo-zRpasLITJBLk';
  const said = info({
    a: 'cannot call +1 (415) 555-0100 now',
    b: 'cannot call 020 7946 0958 now',
    c: `bad token ${token}`,
    d: `/setup#${secret}`,
    e: `cb_${secret}`,
  });
  for (const part of ['415', '555', '7946', 'eyJ', secret.slice(0, 12), secret.slice(-12)])
    expect(said).not.toContain(part);
});

it('cuts long facts', () => {
  expect(info({ error: 'x '.repeat(10_000) }).length).toBeLessThan(400);
});
