/** The sign-out button. */
import { useMutation } from '@tanstack/react-query';
import { useState } from 'react';
import { messageOf } from '../api/client';
import { t } from '../strings';
import { Button, IconButton } from '../ui/controls';
import { Confirm } from '../ui/Dialog';
import { showError } from '../ui/toasts';
import { isBusy, signOut } from './session';

/** Asks for confirmation first if signing out ends a call. */
export function SignOut({ isSmall = false }: { isSmall?: boolean }) {
  const [isAsking, setIsAsking] = useState(false);
  const signingOut = useMutation({
    mutationFn: signOut,
    onError: (error) => showError(messageOf(error)),
  });
  const ask = () => (isBusy() ? setIsAsking(true) : signingOut.mutate());
  return (
    <>
      {isSmall ? (
        <IconButton
          icon="signOut"
          label={t.session.signOut}
          disabled={signingOut.isPending}
          onClick={ask}
        />
      ) : (
        <Button icon="signOut" disabled={signingOut.isPending} onClick={ask}>
          {t.session.signOut}
        </Button>
      )}
      {isAsking && (
        <Confirm
          title={t.session.busyTitle}
          action={t.session.busyAction}
          busy={signingOut.isPending}
          onConfirm={() => signingOut.mutate()}
          onClose={() => setIsAsking(false)}
        >
          {t.session.busyText}
        </Confirm>
      )}
    </>
  );
}
