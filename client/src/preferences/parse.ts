/** Parses the preferences that a browser stores. Pure. */

/** The maximum number of keywords. */
export const KEYWORDS_MAX = 50;

/** The maximum length of a keyword, in characters. */
export const KEYWORD_LENGTH_MAX = 64;

/** The maximum length of a device id, in characters. */
const DEVICE_ID_LENGTH_MAX = 256;

const THEMES = ['system', 'light', 'dark'] as const;
const TEXT_SIZES = ['normal', 'large', 'larger'] as const;

export type Theme = (typeof THEMES)[number];
export type TextSize = (typeof TEXT_SIZES)[number];

export interface Preferences {
  theme: Theme;
  /** The text size of transcripts. */
  textSize: TextSize;
  /** Screen readers announce the final words of a live call. */
  announceWords: boolean;
  /** Single-key shortcuts are on. */
  shortcuts: boolean;
  /** Highlighted in transcripts; none is empty, none occurs twice. */
  keywords: readonly string[];
  /** Device ids of the browser; empty: the system default. */
  microphone: string;
  speaker: string;
  ringtone: string;
  /** The user dismissed the notice that the server has no users and is open. */
  openNoticeAway: boolean;
}

/** Parses a stored value of any shape; missing and invalid fields get their default. */
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

/** The value if it is one of the choices, else the first choice. */
function oneOf<T>(choices: readonly [T, ...T[]], value: unknown): T {
  return choices.find((choice) => choice === value) ?? choices[0];
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
