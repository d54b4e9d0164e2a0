import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Autosave, SAVES_AFTER_MS } from './autosave';

/** A server that responds on demand. */
function slowServer() {
  const asked: string[] = [];
  const answers: ((error?: Error) => void)[] = [];
  const save = (text: string) => {
    asked.push(text);
    return new Promise<void>((done, fail) => {
      answers.push((error) => (error ? fail(error) : done()));
    });
  };
  const answer = async (error?: Error) => {
    answers.shift()?.(error);
    await vi.advanceTimersByTimeAsync(0);
  };
  return { asked, save, answer };
}

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const wait = () => vi.advanceTimersByTimeAsync(SAVES_AFTER_MS);

describe('an automatically saved text', () => {
  it('is sent after a pause in typing', async () => {
    const { asked, save, answer } = slowServer();
    const notes = new Autosave('', save);
    notes.edit('a');
    notes.edit('ab');
    expect(notes.store.getState().state.type).toBe('changed');
    await wait();
    expect(asked).toEqual(['ab']);
    expect(notes.store.getState().state.type).toBe('saving');
    await answer();
    expect(notes.isSaved).toBe(true);
  });

  it('is sent again after further typing, one request at a time', async () => {
    const { asked, save, answer } = slowServer();
    const notes = new Autosave('', save);
    notes.edit('a');
    await wait();
    notes.edit('ab');
    await wait();
    expect(asked).toEqual(['a']);
    await answer();
    expect(asked).toEqual(['a', 'ab']);
    await answer();
    expect(notes.isSaved).toBe(true);
  });

  it('is kept when the server fails, and sent again on request', async () => {
    const { asked, save, answer } = slowServer();
    const notes = new Autosave('', save);
    notes.edit('kept');
    await wait();
    await answer(new Error('down'));
    expect(notes.store.getState()).toMatchObject({ text: 'kept', state: { type: 'failed' } });
    notes.flush();
    await answer();
    expect(asked).toEqual(['kept', 'kept']);
    expect(notes.isSaved).toBe(true);
  });

  it('is saved at once when the user leaves', async () => {
    const { asked, save } = slowServer();
    const notes = new Autosave('', save);
    notes.flush();
    expect(asked).toEqual([]);
    notes.edit('bye');
    notes.flush();
    expect(asked).toEqual(['bye']);
  });

  it('adopts the text of another tab, unless the user is typing', () => {
    const notes = new Autosave('old', () => Promise.resolve());
    notes.adopt('theirs');
    expect(notes.store.getState().text).toBe('theirs');
    notes.edit('mine');
    notes.adopt('theirs again');
    expect(notes.store.getState().text).toBe('mine');
  });

  it('ignores a response that is older than its own save', async () => {
    const { save, answer } = slowServer();
    const notes = new Autosave('before', save);
    notes.edit('mine');
    notes.flush();
    await answer();
    notes.adopt('before');
    expect(notes.store.getState().text).toBe('mine');
    notes.adopt('theirs');
    expect(notes.store.getState().text).toBe('theirs');
  });
});
