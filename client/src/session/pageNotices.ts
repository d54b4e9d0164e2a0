/**
 * Decides which banners the page shows. Pure. Problems of the audio or transcript of a call appear at
 * the call instead.
 */

/** The state of the page. */
export interface Facts {
  isReached: boolean;
  isOnline: boolean;
  /** The user had a session, which the server no longer accepts. */
  isSessionLost: boolean;
  isOpen: boolean;
  isOpenNoticeDismissed: boolean;
}

export type Notice = 'offline' | 'gone' | 'session-lost' | 'open';

/** The banners to show, the most important first; never two with one cause. */
export function noticesOf(facts: Facts): readonly Notice[] {
  const { isReached, isOnline, isSessionLost, isOpen, isOpenNoticeDismissed } = facts;
  const notices: Notice[] = [];
  if (!isReached) notices.push(isOnline ? 'gone' : 'offline');
  else if (isSessionLost) notices.push('session-lost');
  if (isOpen && !isOpenNoticeDismissed) notices.push('open');
  return notices;
}
