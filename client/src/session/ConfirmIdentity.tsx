/** Asks for the password before something sensitive. */
import { useMutation, useQuery } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { ApiError, messageOf } from '../api/client';
import { sessionQuery } from '../api/queries';
import { secondFactorQuery } from '../settings/people';
import { t } from '../strings';
import { Button, Field } from '../ui/controls';
import { Dialog } from '../ui/Dialog';
import { useCountdown } from './Credentials';
import { confirmWithPasskey, confirmWithPassword, useQuestion } from './confirm';
import { canUsePasskeys } from './passkeys';
import css from './session.module.css';

export function ConfirmIdentity() {
  const question = useQuestion();
  if (!question) return null;
  return <Question onDone={question.done} onClose={question.close} />;
}

function Question({ onDone, onClose }: { onDone: () => void; onClose: () => void }) {
  const [password, setPassword] = useState('');
  const user = useQuery(sessionQuery).data?.user;
  const factor = useQuery({ ...secondFactorQuery, enabled: user?.hasSecondFactor === true }).data;
  const proof = useMutation({
    mutationFn: (prove: () => Promise<unknown>) => prove(),
    onSuccess: onDone,
  });
  const waitSeconds = useCountdown(proof.error);
  const isHeld = proof.isPending || waitSeconds > 0;
  const onSubmit = (event: FormEvent) => {
    event.preventDefault();
    if (!isHeld) proof.mutate(() => confirmWithPassword(password));
  };
  const hasPasskey = (factor?.passkeys.length ?? 0) > 0 && canUsePasskeys(factor?.passkeyHost);
  return (
    <Dialog title={t.confirm.title} onClose={onClose}>
      <form className={css.form} onSubmit={onSubmit}>
        <p>{t.confirm.text}</p>
        {/* Tells a manager of passwords whose it is. */}
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
        <Button look="primary" type="submit" disabled={isHeld}>
          {proof.isPending ? t.session.oneMoment : t.confirm.action}
        </Button>
        {hasPasskey && (
          <Button disabled={isHeld} onClick={() => proof.mutate(confirmWithPasskey)}>
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
