/**
 * A text that is saved automatically. Typed text is never lost when the user changes the screen or
 * the server does not respond.
 */
import { createStore } from 'zustand';

/** The text is saved this long after the last change. */
export const SAVES_AFTER_MS = 800;

export type SaveState =
  | { type: 'saved' }
  /** Not sent yet. */
  | { type: 'changed' }
  | { type: 'saving' }
  | { type: 'failed'; error: unknown };

export interface Draft {
  text: string;
  state: SaveState;
}

export class Autosave {
  readonly store;
  readonly #save: (text: string) => Promise<unknown>;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isSaving = false;
  /** The last known text of the server. */
  #saved: string;
  /** The text before the last save, which a response that was on its way may still contain. */
  #replaced: string | undefined;

  /** `text` is the text that the server has. */
  constructor(text: string, save: (text: string) => Promise<unknown>) {
    this.#save = save;
    this.#saved = text;
    this.store = createStore<Draft>(() => ({ text, state: { type: 'saved' } }));
  }

  /** Whether the server has the current text. */
  get isSaved() {
    return this.store.getState().state.type === 'saved';
  }

  edit(text: string) {
    this.store.setState({ text, state: { type: 'changed' } });
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.flush(), SAVES_AFTER_MS);
  }

  /** Takes a newer text of the server, from another tab, unless the user is typing here. */
  adopt(text: string) {
    if (!this.isSaved || text === this.#replaced) return;
    this.#saved = text;
    this.store.setState({ text });
  }

  /** Saves unsaved text now. */
  flush() {
    clearTimeout(this.#timer);
    if (!this.#isSaving) void this.#run();
  }

  /** Sends one request at a time, so that an older text never wins. */
  async #run() {
    this.#isSaving = true;
    while (!this.isSaved) {
      const { text } = this.store.getState();
      this.store.setState({ state: { type: 'saving' } });
      try {
        await this.#save(text);
      } catch (error) {
        this.store.setState({ state: { type: 'failed', error } });
        break;
      }
      this.#replaced = this.#saved;
      this.#saved = text;
      // The text may have changed meanwhile: then the loop saves it again.
      if (this.store.getState().text === text) this.store.setState({ state: { type: 'saved' } });
    }
    this.#isSaving = false;
  }
}
