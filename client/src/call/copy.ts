/** Puts text where it can be pasted, and says so. */
import { t } from '../strings';
import { complain, say } from '../ui/toasts';

export async function copyText(text: string, done: string = t.call.words.copied) {
  try {
    await navigator.clipboard.writeText(text);
    say(done);
  } catch {
    // Not allowed, or not a secure page.
    complain(t.call.words.copyFailed);
  }
}
