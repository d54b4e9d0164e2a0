/**
 * What helps someone else find a fault: versions, states and SIDs. Pure. No telephone numbers, no
 * words of a call, no names, no tokens: the types have no place for them, and what looks like one
 * of them in a message is struck out.
 */

export type Facts = Readonly<Record<string, string | number | boolean | null | undefined>>;

export interface DebugPart {
  heading: string;
  facts: Facts;
}

/** A fact is cut to this many characters. */
const FACT_CHARACTERS_MAX = 300;

/** Digits with a plus before them, or in a row as in no version, time or status. */
const NUMBER = /\+\d[\d\s().-]{4,}\d|(?<![\w.-])\d[\d\s()-]{5,}\d(?![\w.])/g;

/** Access tokens of any make: three parts with dots, or a long run without a space. */
const TOKEN = /\beyJ[\w-]+\.[\w-]+\.[\w-]+|\bcb_[\w-]+|(?<!\w)[\w-]{40,}/g;

/** The fragment of a first-run link. */
const FRAGMENT = /#[\w-]+/g;

/** A text to paste into a report of a fault. */
export function debugInfo(parts: readonly DebugPart[], at: Date): string {
  const lines = parts.flatMap(({ heading, facts }) => [
    '',
    `## ${heading}`,
    ...Object.entries(facts).map(([name, value]) => `${name}: ${written(value)}`),
  ]);
  return [`CallBurner, ${at.toISOString()}`, ...lines, ''].join('\n');
}

function written(value: Facts[string]): string {
  if (value === null || value === undefined || value === '') return '–';
  if (typeof value !== 'string') return String(value);
  const line = value.replace(/\s+/g, ' ').slice(0, FACT_CHARACTERS_MAX);
  return line.replace(TOKEN, '[token]').replace(NUMBER, '[number]').replace(FRAGMENT, '#…');
}
