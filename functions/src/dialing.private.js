/**
 * Which numbers may be called: the server's rules (`src/dialing`), for numbers in their international
 * form, which is how its page dials. Pure.
 */
const {
  getCountries,
  getCountryCallingCode,
  parsePhoneNumberFromString,
} = require('libphonenumber-js/max');
const { isEmergency } = require(Runtime.getFunctions().emergency.path);

/** Longest text that is read as a number. */
const DIALLED_LENGTH_MAX = 64;

/** What people, and programs that show numbers, put between digits; marks of writing direction too. */
const DECORATION = /[-./()[\]\u2010-\u2015\u2212\u200e\u200f\u202a-\u202e\u2066-\u2069\s]/g;

/** What leads out of an area, and out of a country. */
const TRUNK = ['', '0'];
const EXIT = ['+', '00', '011'];

const E164 = /^\+[1-9]\d{6,14}$/;

/** What calling them costs more than a call. */
const SPECIAL = ['PREMIUM_RATE', 'SHARED_COST', 'PERSONAL_NUMBER', 'PAGER', 'UAN', 'VOICEMAIL'];

/** What the caller hears of each refusal. */
const SPOKEN = {
  bad_number: 'This is not a telephone number that can be called.',
  country_not_allowed: 'Calls to this country are not allowed from this phone.',
  special_number: 'Calls to numbers of this kind are not allowed from this phone.',
  emergency_number: 'This phone cannot reach emergency services. Please use another phone.',
};

/** The regions that share a country code. */
const regionsOf = (code) =>
  getCountries().filter((region) => getCountryCallingCode(region) === code);

/** A number of a region and a kind; undefined if no plan knows it. */
function known(text) {
  const number = E164.test(text) ? parsePhoneNumberFromString(text) : undefined;
  return number?.isValid() ? number : undefined;
}

/** Whether someone at `home` who dials this wants help, also in another area or country. */
function asksForHelp(dialled, home, near) {
  const after = (leads) =>
    leads.filter((lead) => dialled.startsWith(lead)).map((lead) => dialled.slice(lead.length));
  const code = home && getCountryCallingCode(home);
  const here = after([...TRUNK, ...EXIT, code].filter((lead) => lead !== undefined));
  return here.some((digits) => isEmergency(digits, near)) || after(EXIT).some(isAbroad);
}

/** Whether a country code is followed by an emergency number of its countries. */
const isAbroad = (digits) =>
  [1, 2, 3].some((length) => {
    const regions = regionsOf(digits.slice(0, length));
    return regions.length > 0 && isEmergency(digits.slice(length), regions);
  });

/**
 * The number to call when someone dials `to`, as `{ number }`, or the code of why not, as
 * `{ refusal }`. `countries`: ISO 3166 codes with commas between; none: that of the caller ID.
 */
function check(to, { callerId, countries = '', special = false }) {
  const refused = (refusal) => ({ refusal });
  if (to.length > DIALLED_LENGTH_MAX) return refused('bad_number');
  const plain = to.replace(/^\s*tel:/i, '').replace(DECORATION, '');
  if (/[^\d+\p{P}\p{S}]/u.test(plain)) return refused('bad_number');
  const home = known(callerId)?.country;
  const listed = countries
    .toUpperCase()
    .split(',')
    .map((code) => code.trim());
  const allowed = listed.some(Boolean) ? listed : [home];
  const digits = plain.replace(/(?!^\+)\D/g, '');
  if (asksForHelp(digits, home, [...allowed, home])) return refused('emergency_number');
  const number = known(plain);
  if (!number) return refused('bad_number');
  const nowhere = number.isNonGeographic();
  if (!nowhere && !allowed.includes(number.country)) return refused('country_not_allowed');
  const costly = nowhere || SPECIAL.includes(number.getType());
  return costly && !special ? refused('special_number') : { number: number.number };
}

module.exports = { E164, SPOKEN, check };
