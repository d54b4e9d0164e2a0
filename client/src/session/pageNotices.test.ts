import { expect, it } from 'vitest';
import { type Facts, noticesOf } from './pageNotices';

const NO_PROBLEM: Facts = {
  isReached: true,
  isOnline: true,
  isSessionLost: false,
  isOpen: false,
  isOpenNoticeDismissed: false,
};

it('shows nothing without problems', () => expect(noticesOf(NO_PROBLEM)).toEqual([]));

it('distinguishes an offline machine from an unreachable server', () => {
  expect(noticesOf({ ...NO_PROBLEM, isReached: false })).toEqual(['gone']);
  expect(noticesOf({ ...NO_PROBLEM, isReached: false, isOnline: false })).toEqual(['offline']);
});

it('trusts a server that responds, whatever the browser reports about the network', () => {
  expect(noticesOf({ ...NO_PROBLEM, isOnline: false })).toEqual([]);
});

it('shows one notice for one cause', () => {
  const all: Facts = { ...NO_PROBLEM, isReached: false, isSessionLost: true };
  expect(noticesOf(all)).toEqual(['gone']);
  expect(noticesOf({ ...all, isReached: true })).toEqual(['session-lost']);
});

it('shows that the server is open until the notice is dismissed', () => {
  expect(noticesOf({ ...NO_PROBLEM, isOpen: true })).toEqual(['open']);
  expect(noticesOf({ ...NO_PROBLEM, isOpen: true, isOpenNoticeDismissed: true })).toEqual([]);
});
