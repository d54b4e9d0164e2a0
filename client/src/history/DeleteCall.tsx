/** Confirms the deletion of a call, and lists what it includes. */
import { useMutation } from '@tanstack/react-query';
import { useLocation } from 'wouter';
import { messageOf } from '../api/client';
import type { CallDetail } from '../api/types';
import { deleteCall } from '../callRecord/edits';
import { forgetNotes } from '../notes/drafts';
import { t } from '../strings';
import { Confirm } from '../ui/Dialog';
import { showToast } from '../ui/toasts';
import css from './DeleteCall.module.css';
import { listPath } from './listPath';

export function DeleteCall({ call, onClose }: { call: CallDetail; onClose: () => void }) {
  const strings = t.calls.remove;
  const [, navigate] = useLocation();
  const remove = useMutation({
    mutationFn: () => deleteCall(call.sid),
    onSuccess: () => {
      forgetNotes(call.sid);
      showToast(strings.done);
      navigate(listPath(), { replace: true });
    },
  });
  return (
    <Confirm
      title={strings.title}
      action={remove.isPending ? strings.busy : strings.confirm}
      busy={remove.isPending}
      onConfirm={() => remove.mutate()}
      onClose={onClose}
    >
      <p>{strings.what}</p>
      <ul className={css.what}>
        <li>{strings.words}</li>
        {call.hasAudio && <li>{strings.sound}</li>}
        {call.recordings.length > 0 && <li>{strings.recordings(call.recordings.length)}</li>}
      </ul>
      {remove.isError && (
        <p className={css.error} role="alert">
          {messageOf(remove.error)}
        </p>
      )}
    </Confirm>
  );
}
