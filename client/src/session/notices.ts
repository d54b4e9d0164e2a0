/** Which states of the whole page are told in a banner. Pure. */
import type { LinkState } from '../live/link';

/** What is known; each is a fact of its own. */
export interface Facts {
  isReached: boolean;
  isOnline: boolean;
  link: LinkState;
  /** Someone was let in, and the server wants them no more. */
  isSessionLost: boolean;
  isOpen: boolean;
  isOpenNoticeAway: boolean;
}

export type Notice = 'offline' | 'gone' | 'words' | 'session-lost' | 'open';

/** The banners to show, the most pressing first: never two for one cause. */
export function noticesOf(facts: Facts): readonly Notice[] {
  const { isReached, isOnline, link, isSessionLost, isOpen, isOpenNoticeAway } = facts;
  const notices: Notice[] = [];
  if (!isReached) notices.push(isOnline ? 'gone' : 'offline');
  else if (isSessionLost) notices.push('session-lost');
  else if (link === 'waiting') notices.push('words');
  if (isOpen && !isOpenNoticeAway) notices.push('open');
  return notices;
}
