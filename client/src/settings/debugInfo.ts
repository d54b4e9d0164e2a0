/**
 * Formats debug info: versions, states and SIDs. Pure. It contains no telephone numbers, transcripts,
 * names or tokens: no field holds them, and patterns that look like one are redacted.
 */

export type Facts = Readonly<Record<string, string | number | boolean | null | undefined>>;

export interface DebugPart {
  heading: string;
  facts: Facts;
}

/** The maximum length of a fact. */
const FACT_CHARACTERS_MAX = 300;

/** Digits after a plus, or more digits in a row than in versions, times or statuses. */
const NUMBER = /\+\d[\d\s().-]{4,}\d|(?<![\w.-])\d[\d\s()-]{5,}\d(?![\w.])/g;

/** Tokens: JWTs, API tokens, or long runs without a space. */
const TOKEN = /\beyJ[\w-]+\.[\w-]+\.[\w-]+|\bcb_[\w-]+|(?<!\w)[\w-]{40,}/g;

/** The secret of a setup link. */
const FRAGMENT = /#[\w-]+/g;

/** Formats the parts as text for a bug report. */
export function debugInfo(parts: readonly DebugPart[], at: Date): string {
  const lines = parts.flatMap(({ heading, facts }) => [
    '',
    `## ${heading}`,
    ...Object.entries(facts).map(([name, value]) => `${name}: ${formatFact(value)}`),
  ]);
  return [`CallBurner, ${at.toISOString()}`, ...lines, ''].join('\n');
}

function formatFact(value: Facts[string]): string {
  if (value === null || value === undefined || value === '') return '–';
  if (typeof value !== 'string') return String(value);
  const line = value.replace(/\s+/g, ' ').slice(0, FACT_CHARACTERS_MAX);
  return line.replace(TOKEN, '[token]').replace(NUMBER, '[number]').replace(FRAGMENT, '#…');
}
