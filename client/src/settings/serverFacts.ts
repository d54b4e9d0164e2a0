/** The settings of the server as labelled texts. Pure. */
import type { ServerSettings } from '../api/types';
import { t } from '../strings';

const words = t.settings.server;

export function factsOf(settings: ServerSettings): readonly (readonly [string, string])[] {
  const { version, model, callerId, allowedCountries, announcement, archive } = settings;
  const { retentionDays, maxCallSeconds, transcriptionSource } = settings;
  return [
    [words.facts.version, version],
    [words.facts.source, words.sources[transcriptionSource]],
    [words.facts.model, model ?? words.none],
    [words.facts.callerId, callerId ?? words.none],
    [words.facts.allowedCountries, countries(allowedCountries)],
    [words.facts.announcement, announcement ? words.quoted(announcement) : words.noAnnouncement],
    [words.facts.archive, archive ? words.yes : words.no],
    [words.facts.retention, retentionDays == null ? words.forever : words.days(retentionDays)],
    [words.facts.maxCall, words.minutes(Math.round(maxCallSeconds / 60))],
  ];
}

const NAMES = new Intl.DisplayNames(undefined, { type: 'region' });
const LIST = new Intl.ListFormat(undefined, { type: 'conjunction' });

const countries = (codes: readonly string[]) =>
  codes.length === 0 ? words.none : LIST.format(codes.map((code) => NAMES.of(code) ?? code));
