import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { EVERYWHERE, isEmergency, TABLE } from './emergency';

const server = readFileSync(join(import.meta.dirname, '../../../src/dialing/emergency.rs'), 'utf8');
const words = (text: string) =>
  text
    .replace(/\\\n/g, ' ')
    .trim()
    .split(/[\s;]+/);

describe('the emergency numbers', () => {
  it('are the ones that the server refuses', () => {
    const table = /const TABLE: &str = "([^"]*)"/.exec(server)?.[1] ?? '';
    expect(words(TABLE)).toEqual(words(table));
    const everywhere = /EVERYWHERE: [^=]* = \[([^\]]*)\]/.exec(server)?.[1] ?? '';
    expect(EVERYWHERE).toEqual(everywhere.match(/\d+/g));
  });

  it('count in their own country, and some in every one', () => {
    expect(isEmergency('911', 'DE')).toBe(true);
    expect(isEmergency('15', 'FR')).toBe(true);
    expect(isEmergency('15', 'US')).toBe(false);
    expect(isEmergency('9115', 'US')).toBe(false);
  });
});
