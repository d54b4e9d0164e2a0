import { expect, it } from 'vitest';
import type { ServerSettings } from '../api/types';
import { factsOf } from './facts';

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

it('says what is not set, too', () => {
  expect(facts({})).toMatchObject({
    Version: '0.1.0',
    'Caller ID': 'None',
    'May call': 'None',
    'Keeps audio': 'No',
    'Keeps calls for': 'Until they are deleted',
    'Longest call': '240 minutes',
  });
});

it('names countries and lengths as people do', () => {
  expect(
    facts({ allowedCountries: ['US', 'GB'], retentionDays: 1, archive: true, announcement: 'Hi.' }),
  ).toMatchObject({
    'May call': 'United States and United Kingdom',
    'Keeps calls for': 'One day',
    'Keeps audio': 'Yes',
    Announcement: '“Hi.”',
  });
});
