/** What can be chosen in a browser, and how it is read back. Pure. */

/** More keywords than these are not looked for. */
export const KEYWORDS_MAX = 50;

/** Characters of a keyword. */
export const KEYWORD_LENGTH_MAX = 64;

/** Characters of what a browser calls a device. */
const DEVICE_ID_LENGTH_MAX = 256;

const THEMES = ['system', 'light', 'dark'] as const;
const TEXT_SIZES = ['normal', 'large', 'larger'] as const;

export type Theme = (typeof THEMES)[number];
export type TextSize = (typeof TEXT_SIZES)[number];

export interface Preferences {
  theme: Theme;
  /** Of the transcript. */
  textSize: TextSize;
  /** Whether settled words are read aloud by a screen reader. */
  announceWords: boolean;
  /** Whether single keys do something. */
  shortcuts: boolean;
  /** Marked in transcripts; none empty, none twice. */
  keywords: readonly string[];
  /** The browser's ids; empty: whichever the system uses. */
  microphone: string;
  speaker: string;
  ringtone: string;
  /** The notice that the server is open to everyone on its machine was put away. */
  openNoticeAway: boolean;
}

/** Preferences out of anything: what is missing or makes no sense is as in a new browser. */
export function parsePreferences(stored: unknown): Preferences {
  const { theme, textSize, announceWords, shortcuts, keywords, ...rest } = fields(stored);
  return {
    theme: oneOf(THEMES, theme),
    textSize: oneOf(TEXT_SIZES, textSize),
    announceWords: announceWords !== false,
    shortcuts: shortcuts !== false,
    keywords: keywordsOf(keywords),
    microphone: deviceId(rest.microphone),
    speaker: deviceId(rest.speaker),
    ringtone: deviceId(rest.ringtone),
    openNoticeAway: rest.openNoticeAway === true,
  };
}

const fields = (value: unknown): Partial<Record<keyof Preferences, unknown>> =>
  typeof value === 'object' && value !== null ? value : {};

/** The value if it is one of these, or the first of them. */
function oneOf<T>(these: readonly [T, ...T[]], value: unknown): T {
  return these.find((one) => one === value) ?? these[0];
}

const deviceId = (value: unknown) =>
  typeof value === 'string' && value.length <= DEVICE_ID_LENGTH_MAX ? value : '';

function keywordsOf(value: unknown): readonly string[] {
  const words = new Map<string, string>();
  for (const word of Array.isArray(value) ? value : []) {
    const text = typeof word === 'string' ? word.trim().replace(/\s+/g, ' ') : '';
    const folded = text.toLocaleLowerCase();
    if (text && text.length <= KEYWORD_LENGTH_MAX && !words.has(folded)) words.set(folded, text);
  }
  return [...words.values()].slice(0, KEYWORDS_MAX);
}
