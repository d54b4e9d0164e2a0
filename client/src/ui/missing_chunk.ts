/** How browsers say that a part of the page could not be loaded: each in its own words. */
const MISSING = [
  /Failed to fetch dynamically imported module/, // Chromium
  /error loading dynamically imported module/, // Firefox
  /Importing a module script failed/, // Safari
  /Unable to preload CSS/, // Vite
  /is not a valid JavaScript MIME type/, // an older server's page in its place
];

/** Whether a lazy part of the page is gone: the server was updated, or does not answer. Pure. */
export function isMissingChunk(error: unknown): boolean {
  return error instanceof Error && MISSING.some((words) => words.test(error.message));
}
