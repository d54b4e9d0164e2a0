/** Confirms a removal, and shows a toast with its result. */
import { useMutation } from '@tanstack/react-query';
import { messageOf } from '../api/client';
import { Confirm } from '../ui/Dialog';
import { showError, showToast } from '../ui/toasts';

export function ConfirmRemoval({
  title,
  text,
  action,
  done,
  remove,
  onClose,
}: {
  title: string;
  text: string;
  action: string;
  /** The message after it. */
  done: string;
  remove: () => Promise<void>;
  onClose: () => void;
}) {
  const removal = useMutation({
    mutationFn: remove,
    onSuccess: () => showToast(done),
    onError: (error) => showError(messageOf(error)),
    onSettled: onClose,
  });
  return (
    <Confirm
      title={title}
      action={action}
      busy={removal.isPending}
      onConfirm={() => removal.mutate()}
      onClose={onClose}
    >
      {text}
    </Confirm>
  );
}
