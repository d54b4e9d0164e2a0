/**
 * Names this tab for the server: with the same name, the browser keeps its identity at Twilio after
 * a reload. A duplicated tab copies the name, so the second open page with a name makes a new one.
 */

/** The key of the name in the session storage. */
const KEY = 'callburner.tab';

/**
 * Claims a name that no other open page has, as far as the browser can tell. Call it once per page:
 * the page holds the name as long as it lives.
 */
export async function claimTabName(): Promise<string> {
  const kept = read();
  if (kept && (await hold(kept))) return kept;
  const made = crypto.randomUUID();
  keep(made);
  await hold(made);
  return made;
}

/** Locks the name as long as the page lives; resolves to false if another page has it. */
function hold(name: string): Promise<boolean> {
  if (!navigator.locks) return Promise.resolve(true);
  return new Promise((resolve) => {
    const held = (lock: Lock | null) => {
      resolve(lock !== null);
      return lock ? new Promise<void>(() => undefined) : undefined;
    };
    navigator.locks
      .request(`${KEY}.${name}`, { ifAvailable: true }, held)
      // A browser that denies locks: two pages may share a name then, and each has a registration.
      .catch(() => resolve(true));
  });
}

function read(): string | null {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

function keep(name: string) {
  try {
    sessionStorage.setItem(KEY, name);
  } catch {
    // A browser without storage: each reload makes a new name.
  }
}
