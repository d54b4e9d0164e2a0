/** The secret of a printed link, `/setup#SECRET` or `/open#SECRET`, removed from the address bar. */

let taken: string | undefined;

/** Returns the secret in the address, and removes it from the address bar and the history. */
export function takeLinkSecret(): string {
  const { hash, pathname, search } = window.location;
  if (hash.length > 1) {
    taken = hash.slice(1);
    window.history.replaceState(window.history.state, '', pathname + search);
  }
  return taken ?? '';
}

/** Drops the secret after the link was used. */
export function forgetLinkSecret() {
  taken = undefined;
}
