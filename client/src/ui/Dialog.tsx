/** Something that must be looked at before anything else. The browser keeps the focus inside. */
import { type ReactNode, useEffect, useId, useRef } from 'react';
import { t } from '../strings';
import { Button, IconButton } from './controls';
import css from './Dialog.module.css';

/** It begins at what has `data-first`, or at its first field. */
export function Dialog({
  title,
  onClose,
  isClosable = true,
  children,
}: {
  title: string;
  /** Escape, the cross, or a click beside it. */
  onClose: () => void;
  /** False: only what is in it closes it. */
  isClosable?: boolean;
  children: ReactNode;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    dialog.current?.showModal();
    // The browser would begin at the cross.
    const find = (selector: string) => dialog.current?.querySelector<HTMLElement>(selector);
    (find('[data-first]') ?? find('form :is(input, select, textarea)'))?.focus();
  }, []);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape is the dialog's own key for it
    <dialog
      ref={dialog}
      className={css.dialog}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        if (isClosable) onClose();
      }}
      onClick={(event) => {
        if (event.target === dialog.current && isClosable) onClose();
      }}
    >
      <div className={css.head}>
        <h2 id={id}>{title}</h2>
        {isClosable && <IconButton icon="close" label={t.ui.close} onClick={onClose} />}
      </div>
      <div className={css.body}>{children}</div>
    </dialog>
  );
}

/** Asks before something that cannot be taken back. */
export function Confirm({
  title,
  children,
  action,
  busy = false,
  onConfirm,
  onClose,
}: {
  title: string;
  children: ReactNode;
  /** What is done, as a verb. */
  action: string;
  busy?: boolean;
  onConfirm: () => void;
  onClose: () => void;
}) {
  return (
    <Dialog title={title} onClose={onClose}>
      <div>{children}</div>
      <div className={css.actions}>
        <Button data-first onClick={onClose}>
          {t.ui.cancel}
        </Button>
        <Button look="danger" disabled={busy} onClick={onConfirm}>
          {action}
        </Button>
      </div>
    </Dialog>
  );
}
