/**
 * Which states of the whole page are told in a banner. Pure. What only concerns a call's sound or its
 * words is told where they are.
 */
/** What is known; each is a fact of its own. */
export interface Facts {
  isReached: boolean;
  isOnline: boolean;
  /** Someone was let in, and the server wants them no more. */
  isSessionLost: boolean;
  isOpen: boolean;
  isOpenNoticeAway: boolean;
}

export type Notice = 'offline' | 'gone' | 'session-lost' | 'open';

/** The banners to show, the most pressing first: never two for one cause. */
export function noticesOf(facts: Facts): readonly Notice[] {
  const { isReached, isOnline, isSessionLost, isOpen, isOpenNoticeAway } = facts;
  const notices: Notice[] = [];
  if (!isReached) notices.push(isOnline ? 'gone' : 'offline');
  else if (isSessionLost) notices.push('session-lost');
  if (isOpen && !isOpenNoticeAway) notices.push('open');
  return notices;
}
