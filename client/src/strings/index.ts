/**
 * All texts of the page, by area. A translation is another object of the same type. Texts with
 * parameters are functions.
 */
import { call } from './call';
import { calls } from './calls';
import { phone } from './phone';
import { settings } from './settings';
import { shell } from './shell';

export const t = { ...shell, phone, call, calls, settings };

/** The type of a translation. */
export type Strings = typeof t;
