import { expect, it } from 'vitest';
import type { ServerSettings } from '../api/types';
import { factsOf } from './serverFacts';

const bare: ServerSettings = {
  version: '0.1.0',
  twilio: { ready: false, missing: ['TWILIO_ACCOUNT_SID'] },
  transcriptionSource: 'whisper',
  allowedCountries: [],
  archive: false,
  maxCallSeconds: 14_400,
  ringSeconds: 30,
};

const facts = (settings: Partial<ServerSettings>) =>
  Object.fromEntries(factsOf({ ...bare, ...settings }));

it('also lists what is not set', () => {
  expect(facts({})).toMatchObject({
    Version: '0.1.0',
    'Caller ID': 'None',
    'Allowed countries': 'None',
    'Stores audio': 'No',
    'Stores calls for': 'Until they are deleted',
    'Longest call': '240 minutes',
  });
});

it('formats countries and durations for people', () => {
  expect(
    facts({ allowedCountries: ['US', 'GB'], retentionDays: 1, archive: true, announcement: 'Hi.' }),
  ).toMatchObject({
    'Allowed countries': 'United States and United Kingdom',
    'Stores calls for': 'One day',
    'Stores audio': 'Yes',
    Announcement: '“Hi.”',
  });
});
