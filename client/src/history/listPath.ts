/** Remembers the search of the call list, so that the page of a call can link back to it. */

let search = '';

/** Sets the search: `?q=…`, or an empty string. */
export function rememberSearch(shown: string) {
  search = shown;
}

export const listPath = () => `/calls${search}`;
