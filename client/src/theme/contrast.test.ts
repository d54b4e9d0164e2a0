import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

/** WCAG 2.2, 1.4.3: text up to 18 pt. */
const TEXT_MIN = 4.5;

/** WCAG 2.2, 1.4.11: the outlines of controls and of their states. */
const CONTROL_MIN = 3;

const css = readFileSync(join(import.meta.dirname, 'tokens.css'), 'utf8');

/** The colours of each token in the light and the dark theme. */
const colours = new Map(
  [...css.matchAll(/--([\w-]+): light-dark\(#([0-9a-f]{6}), #([0-9a-f]{6})\)/g)].map(
    ([, name, light, dark]) => [name, { light, dark }] as const,
  ),
);

function luminance(hex: string): number {
  const [red = 0, green = 0, blue = 0] = [0, 2, 4].map((at) => {
    const part = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(one: string, other: string, scheme: 'light' | 'dark'): number {
  const [a, b] = [one, other].map((name) => {
    const colour = colours.get(name)?.[scheme];
    if (!colour) throw new Error(`tokens.css has no colour --${name}`);
    return luminance(colour) + 0.05;
  });
  return a && b ? Math.max(a, b) / Math.min(a, b) : 0;
}

const GROUNDS = ['paper', 'surface', 'sunken', 'raised', 'hover', 'accent-tint', 'customer-tint'];

const texts = [
  ...GROUNDS.map((ground) => ['ink', ground]),
  ...['paper', 'surface', 'sunken', 'hover', 'customer-tint'].map((ground) => ['ink-soft', ground]),
  ...['paper', 'surface', 'hover', 'accent-tint'].map((ground) => ['accent', ground]),
  ...['paper', 'surface', 'danger-tint'].map((ground) => ['danger', ground]),
  ...['paper', 'surface', 'warn-tint'].map((ground) => ['warn', ground]),
  ['on-accent', 'accent'],
  ['on-accent', 'accent-hover'],
  ['on-danger', 'danger'],
  ['on-danger', 'danger-hover'],
  ['ink', 'mark'],
  // Toasts invert the colours of the page.
  ['paper', 'ink'],
] as [string, string][];

const controls = [
  ...['paper', 'surface', 'sunken'].map((ground) => ['line-strong', ground]),
  ...GROUNDS.map((ground) => ['accent', ground]),
] as [string, string][];

describe.each(['light', 'dark'] as const)('in %s', (scheme) => {
  it.each(texts)('%s is read on %s', (text, ground) =>
    expect(contrast(text, ground, scheme)).toBeGreaterThanOrEqual(TEXT_MIN),
  );

  it.each(controls)('%s is seen on %s', (line, ground) =>
    expect(contrast(line, ground, scheme)).toBeGreaterThanOrEqual(CONTROL_MIN),
  );
});

it('computes the contrast as WCAG defines it', () => {
  expect((luminance('ffffff') + 0.05) / (luminance('000000') + 0.05)).toBeCloseTo(21);
  expect((luminance('ffffff') + 0.05) / (luminance('767676') + 0.05)).toBeCloseTo(4.54, 2);
});
