/** The secret of a printed link, `/setup#SECRET` or `/open#SECRET`, taken out of sight at once. */

let taken: string | undefined;

/** The secret that the page was opened with. The address bar and the history forget it. */
export function takeSecret(): string {
  const { hash, pathname, search } = window.location;
  if (hash.length > 1) {
    taken = hash.slice(1);
    window.history.replaceState(window.history.state, '', pathname + search);
  }
  return taken ?? '';
}

/** The link was used. */
export function forgetSecret() {
  taken = undefined;
}
