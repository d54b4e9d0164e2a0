/** Asks before something goes for good, and says whether it has. */
import { useMutation } from '@tanstack/react-query';
import { messageOf } from '../api/client';
import { Confirm } from '../ui/Dialog';
import { complain, say } from '../ui/toasts';

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
  /** What is said afterwards. */
  done: string;
  remove: () => Promise<void>;
  onClose: () => void;
}) {
  const removed = useMutation({
    mutationFn: remove,
    onSuccess: () => say(done),
    onError: (error) => complain(messageOf(error)),
    onSettled: onClose,
  });
  return (
    <Confirm
      title={title}
      action={action}
      busy={removed.isPending}
      onConfirm={() => removed.mutate()}
      onClose={onClose}
    >
      {text}
    </Confirm>
  );
}
