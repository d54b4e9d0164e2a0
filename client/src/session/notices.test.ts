import { expect, it } from 'vitest';
import { type Facts, noticesOf } from './notices';

const calm: Facts = {
  isReached: true,
  isOnline: true,
  isSessionLost: false,
  isOpen: false,
  isOpenNoticeAway: false,
};

it('says nothing while all is well', () => expect(noticesOf(calm)).toEqual([]));

it('tells the machine that is offline from the server that is gone', () => {
  expect(noticesOf({ ...calm, isReached: false })).toEqual(['gone']);
  expect(noticesOf({ ...calm, isReached: false, isOnline: false })).toEqual(['offline']);
});

it('believes the server that answers, whatever the browser says of the network', () => {
  expect(noticesOf({ ...calm, isOnline: false })).toEqual([]);
});

it('names one cause once', () => {
  const all: Facts = { ...calm, isReached: false, isSessionLost: true };
  expect(noticesOf(all)).toEqual(['gone']);
  expect(noticesOf({ ...all, isReached: true })).toEqual(['session-lost']);
});

it('says that the server is open until that is put away', () => {
  expect(noticesOf({ ...calm, isOpen: true })).toEqual(['open']);
  expect(noticesOf({ ...calm, isOpen: true, isOpenNoticeAway: true })).toEqual([]);
});
