/** The error messages of browsers for a chunk that could not be loaded. */
const MISSING = [
  /Failed to fetch dynamically imported module/, // Chromium
  /error loading dynamically imported module/, // Firefox
  /Importing a module script failed/, // Safari
  /Unable to preload CSS/, // Vite
  /is not a valid JavaScript MIME type/, // the server sent its index page instead
];

/** Whether a lazy chunk is missing: the server was updated or does not respond. Pure. */
export function isMissingChunk(error: unknown): boolean {
  return error instanceof Error && MISSING.some((words) => words.test(error.message));
}
