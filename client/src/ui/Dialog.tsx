/** Modal dialogs. The browser keeps the focus inside. */
import { type ReactNode, useEffect, useId, useRef } from 'react';
import { t } from '../strings';
import { Button, IconButton } from './controls';
import css from './Dialog.module.css';

/** A modal dialog. The focus starts at the element with `data-first`, else at the first field. */
export function Dialog({
  title,
  onClose,
  isClosable = true,
  children,
}: {
  title: string;
  /** Called by Escape, the close button, or a click outside. */
  onClose: () => void;
  /** False: only the children can close it. */
  isClosable?: boolean;
  children: ReactNode;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    dialog.current?.showModal();
    // Without this the browser would focus the close button.
    const find = (selector: string) => dialog.current?.querySelector<HTMLElement>(selector);
    (find('[data-first]') ?? find('form :is(input, select, textarea)'))?.focus();
  }, []);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: the keyboard equivalent is Escape
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

/** Asks for confirmation before an action that cannot be undone. */
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
  /** The label of the button: a verb. */
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
