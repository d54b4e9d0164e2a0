/**
 * A text that saves itself. What was typed is never given up: not by leaving the page's screen, and
 * not by a server that does not answer.
 */
import { createStore } from 'zustand';

/** Saved this long after the last key. */
export const SAVES_AFTER_MS = 800;

export type SaveState =
  | { type: 'saved' }
  /** Typed, and not sent yet. */
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
  /** What the server has, as far as is known here. */
  #kept: string;
  /** What it had before the last saving: an answer that was on its way meanwhile still has it. */
  #replaced: string | undefined;

  /** `text` is what the server has. */
  constructor(text: string, save: (text: string) => Promise<unknown>) {
    this.#save = save;
    this.#kept = text;
    this.store = createStore<Draft>(() => ({ text, state: { type: 'saved' } }));
  }

  /** Whether the server has it all. */
  get isSaved() {
    return this.store.getState().state.type === 'saved';
  }

  edit(text: string) {
    this.store.setState({ text, state: { type: 'changed' } });
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.flush(), SAVES_AFTER_MS);
  }

  /** The server has another text, of another tab; what is being typed here goes before it. */
  adopt(text: string) {
    if (!this.isSaved || text === this.#replaced) return;
    this.#kept = text;
    this.store.setState({ text });
  }

  /** Saves now what is not saved. */
  flush() {
    clearTimeout(this.#timer);
    if (!this.#isSaving) void this.#run();
  }

  /** One after the other, so that an older text never wins. */
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
      this.#replaced = this.#kept;
      this.#kept = text;
      // Typed on meanwhile: once more.
      if (this.store.getState().text === text) this.store.setState({ state: { type: 'saved' } });
    }
    this.#isSaving = false;
  }
}
