/** Turns fragments into sentences. Pure. */

/** Starts the text with a capital and ends it with a full stop: server messages read like log lines. */
export const sentence = (text: string) => capitalized(text).replace(/[^.!?…]$/, '$&.');

export const capitalized = (text: string) => text.charAt(0).toLocaleUpperCase() + text.slice(1);
