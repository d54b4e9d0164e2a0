/** Who is signed in, and the way out. */
import { useMutation } from '@tanstack/react-query';
import { useState } from 'react';
import { messageOf } from '../api/client';
import { t } from '../strings';
import { Button, IconButton } from '../ui/controls';
import { Confirm } from '../ui/Dialog';
import { complain } from '../ui/toasts';
import { isBusy, signOut } from './session';

/** Signs out; asks first if that ends a call. */
export function SignOut({ isSmall = false }: { isSmall?: boolean }) {
  const [isAsking, setIsAsking] = useState(false);
  const leaving = useMutation({
    mutationFn: signOut,
    onError: (error) => complain(messageOf(error)),
  });
  const ask = () => (isBusy() ? setIsAsking(true) : leaving.mutate());
  return (
    <>
      {isSmall ? (
        <IconButton
          icon="signOut"
          label={t.session.signOut}
          disabled={leaving.isPending}
          onClick={ask}
        />
      ) : (
        <Button icon="signOut" disabled={leaving.isPending} onClick={ask}>
          {t.session.signOut}
        </Button>
      )}
      {isAsking && (
        <Confirm
          title={t.session.busyTitle}
          action={t.session.busyAction}
          busy={leaving.isPending}
          onConfirm={() => leaving.mutate()}
          onClose={() => setIsAsking(false)}
        >
          {t.session.busyText}
        </Confirm>
      )}
    </>
  );
}
