/** The dialog that confirms the identity of the user before a sensitive action. */
import { useMutation, useQuery } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { confirmWithPasskey, confirmWithPassword, useConfirmation } from '../account/confirm';
import { canUsePasskeys } from '../account/passkeys';
import { secondFactorQuery } from '../account/requests';
import { ApiError, messageOf } from '../api/client';
import { sessionQuery } from '../api/queries';
import { t } from '../strings';
import { Button, Field } from '../ui/controls';
import { Dialog } from '../ui/Dialog';
import css from './session.module.css';
import { useCountdown } from './useCountdown';

export function ConfirmIdentity() {
  const confirmation = useConfirmation();
  if (!confirmation) return null;
  return <ConfirmDialog onDone={confirmation.done} onClose={confirmation.close} />;
}

function ConfirmDialog({ onDone, onClose }: { onDone: () => void; onClose: () => void }) {
  const [password, setPassword] = useState('');
  const user = useQuery(sessionQuery).data?.user;
  const factor = useQuery({ ...secondFactorQuery, enabled: user?.hasSecondFactor === true }).data;
  const proof = useMutation({
    mutationFn: (prove: () => Promise<unknown>) => prove(),
    onSuccess: onDone,
  });
  const waitSeconds = useCountdown(proof.error);
  const isDisabled = proof.isPending || waitSeconds > 0;
  const onSubmit = (event: FormEvent) => {
    event.preventDefault();
    if (!isDisabled) proof.mutate(() => confirmWithPassword(password));
  };
  const hasPasskey = (factor?.passkeys.length ?? 0) > 0 && canUsePasskeys(factor?.passkeyHost);
  return (
    <Dialog title={t.confirm.title} onClose={onClose}>
      <form className={css.form} onSubmit={onSubmit}>
        <p>{t.confirm.text}</p>
        {/* Tells password managers the user name. */}
        <input type="hidden" name="username" autoComplete="username" value={user?.name} readOnly />
        <Field
          label={t.confirm.password}
          type="password"
          autoComplete="current-password"
          required
          data-first
          value={password}
          error={refusalOf(proof.error, waitSeconds)}
          onChange={(event) => setPassword(event.target.value)}
        />
        <Button look="primary" type="submit" disabled={isDisabled}>
          {proof.isPending ? t.session.oneMoment : t.confirm.action}
        </Button>
        {hasPasskey && (
          <Button disabled={isDisabled} onClick={() => proof.mutate(confirmWithPasskey)}>
            {t.confirm.passkey}
          </Button>
        )}
      </form>
    </Dialog>
  );
}

function refusalOf(error: unknown, waitSeconds: number): string | undefined {
  if (!error) return undefined;
  if (waitSeconds > 0) return t.session.tooMany(waitSeconds);
  const code = error instanceof ApiError ? error.code : undefined;
  if (code === 'wrong_password') return t.confirm.wrong;
  return code === 'too_many_attempts' ? t.session.tryNow : messageOf(error);
}
