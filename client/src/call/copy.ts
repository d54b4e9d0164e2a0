/** Puts text where it can be pasted, and says so. */
import { t } from '../strings';
import { complain, say } from '../ui/toasts';

export async function copyText(text: string) {
  try {
    await navigator.clipboard.writeText(text);
    say(t.call.words.copied);
  } catch {
    // Not allowed, or not a secure page.
    complain(t.call.words.copyFailed);
  }
}
