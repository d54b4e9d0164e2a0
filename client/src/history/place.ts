/** Where in the history one was, so that a call's page leads back there. */

let search = '';

/** The list is shown with this search: `?q=…`, or nothing. */
export function rememberList(shown: string) {
  search = shown;
}

export const listPath = () => `/calls${search}`;
