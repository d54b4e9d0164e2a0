/** Copies text to the clipboard, and shows a toast. */
import { t } from '../strings';
import { showError, showToast } from './toasts';

export async function copyText(text: string, done: string = t.call.words.copied) {
  try {
    await navigator.clipboard.writeText(text);
    showToast(done);
  } catch {
    // The page has no permission, or is not secure.
    showError(t.call.words.copyFailed);
  }
}
