/**
 * Every word that the page says, by area; another language is another object of the same type.
 * Sentences with something in them are functions.
 */
import { call } from './call';
import { calls } from './calls';
import { phone } from './phone';
import { settings } from './settings';
import { shell } from './shell';

export const t = { ...shell, phone, call, calls, settings };

/** What a translation has to say. */
export type Strings = typeof t;
