/** Toasts: short notices at the bottom of the page. */
import { useEffect } from 'react';
import { createStore, useStore } from 'zustand';
import { t } from '../strings';
import { IconButton } from './controls';
import css from './toasts.module.css';

/** A toast that is not an error closes after this time. */
const CLOSES_AFTER_MS = 4_000;

/** The maximum number of toasts; a new one replaces the oldest. */
const TOASTS_MAX = 3;

interface Toast {
  id: number;
  text: string;
  /** An error stays until the user closes it. */
  isError: boolean;
}

const store = createStore<{ toasts: readonly Toast[] }>(() => ({ toasts: [] }));
let count = 0;

function push(text: string, isError: boolean) {
  count += 1;
  const toast = { id: count, text, isError };
  store.setState(({ toasts }) => ({
    toasts: [...toasts.filter((other) => other.text !== text), toast].slice(-TOASTS_MAX),
  }));
}

/** Shows that an action succeeded. */
export const showToast = (text: string) => push(text, false);

/** Shows an error, and what to do, until the user closes it. */
export const showError = (text: string) => push(text, true);

const dismiss = (id: number) =>
  store.setState(({ toasts }) => ({ toasts: toasts.filter((toast) => toast.id !== id) }));

export function Toasts() {
  const toasts = useStore(store, ({ toasts }) => toasts);
  return (
    <div className={css.toasts} role="log" aria-label={t.ui.notices}>
      {toasts.map((toast) => (
        <OneToast key={toast.id} toast={toast} />
      ))}
    </div>
  );
}

function OneToast({ toast }: { toast: Toast }) {
  useEffect(() => {
    if (toast.isError) return;
    const timer = setTimeout(() => dismiss(toast.id), CLOSES_AFTER_MS);
    return () => clearTimeout(timer);
  }, [toast]);
  return (
    <div className={css.toast}>
      <span>{toast.text}</span>
      <IconButton icon="close" label={t.ui.close} onClick={() => dismiss(toast.id)} />
    </div>
  );
}
