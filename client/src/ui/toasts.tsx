/** Short notices at the foot of the page, from anywhere. */
import { useEffect } from 'react';
import { createStore, useStore } from 'zustand';
import { t } from '../strings';
import { IconButton } from './controls';
import css from './toasts.module.css';

/** A notice that says nothing wrong goes by itself after this long. */
const GOES_AFTER_MS = 4_000;

/** More than these push out the oldest. */
const TOASTS_MAX = 3;

interface Toast {
  id: number;
  text: string;
  /** Stays until it is closed. */
  stays: boolean;
}

const store = createStore<{ toasts: readonly Toast[] }>(() => ({ toasts: [] }));
let count = 0;

function push(text: string, stays: boolean) {
  count += 1;
  const toast = { id: count, text, stays };
  store.setState(({ toasts }) => ({
    toasts: [...toasts.filter((other) => other.text !== text), toast].slice(-TOASTS_MAX),
  }));
}

/** Says that something was done. */
export const say = (text: string) => push(text, false);

/** Says that something went wrong, and what to do; stays until it is closed. */
export const complain = (text: string) => push(text, true);

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
    if (toast.stays) return;
    const timer = setTimeout(() => dismiss(toast.id), GOES_AFTER_MS);
    return () => clearTimeout(timer);
  }, [toast]);
  return (
    <div className={css.toast}>
      <span>{toast.text}</span>
      <IconButton icon="close" label={t.ui.close} onClick={() => dismiss(toast.id)} />
    </div>
  );
}
