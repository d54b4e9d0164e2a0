/**
 * What this tab calls itself to the server: with it, the browser has the same identity at Twilio
 * after a reload. A tab that is duplicated takes the name along, so the second page that has it makes
 * another one.
 */

/** Where the name is kept. */
const KEY = 'callburner.tab';

let name: Promise<string> | undefined;

/** This page's name: no other page that is open has it, as far as the browser can tell. */
export function tabName(): Promise<string> {
  name ??= claim();
  return name;
}

async function claim(): Promise<string> {
  const kept = read();
  if (kept && (await hold(kept))) return kept;
  const made = crypto.randomUUID();
  keep(made);
  await hold(made);
  return made;
}

/** Holds the name as long as the page lives; false: another page holds it. */
function hold(name: string): Promise<boolean> {
  if (!navigator.locks) return Promise.resolve(true);
  return new Promise((resolve) => {
    const held = (lock: Lock | null) => {
      resolve(lock !== null);
      return lock ? new Promise<void>(() => undefined) : undefined;
    };
    navigator.locks
      .request(`${KEY}.${name}`, { ifAvailable: true }, held)
      // A browser that gives no locks: two pages may share a name then, and each has a registration.
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
    // A browser that keeps nothing: another name after each reload.
  }
}
