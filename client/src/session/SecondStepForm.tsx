/** The second step of signing in: a code from an app, a recovery code, or a passkey. */
import { useMutation } from '@tanstack/react-query';
import { type FormEvent, useId, useState } from 'react';
import { isSupported, signWithPasskey } from '../account/passkeys';
import { ApiError, messageOf } from '../api/client';
import type { SecondStep } from '../api/types';
import { t } from '../strings';
import { Button, Field } from '../ui/controls';
import { FormError } from './FormError';
import { finishSignIn } from './session';
import css from './session.module.css';
import { useCountdown } from './useCountdown';

type Proof = { code: string } | { passkey: object };

export function SecondStepForm({
  step,
  onDone,
  onBack,
}: {
  step: SecondStep;
  onDone: (() => void) | undefined;
  /** Returns to the first step; `hasExpired` after a timeout or too many attempts. */
  onBack: (hasExpired: boolean) => void;
}) {
  const [code, setCode] = useState('');
  const errorId = useId();
  const { token, hasApp, passkeyOptions } = step;
  const entry = useMutation({
    mutationFn: async (prove: () => Promise<Proof>) => finishSignIn(token, await prove()),
    onSuccess: () => onDone?.(),
    // The server ends this sign-in after each answer of a passkey: its challenge is valid once.
    onError: (error) => {
      if (codeOf(error) === 'sign_in_again') onBack(true);
    },
  });
  const waitSeconds = useCountdown(entry.error);
  const isDisabled = entry.isPending || waitSeconds > 0;
  const onSubmit = (event: FormEvent) => {
    event.preventDefault();
    if (!isDisabled) entry.mutate(async () => ({ code }));
  };
  return (
    <form className={css.form} onSubmit={onSubmit} aria-describedby={errorId}>
      <p>{hasApp ? t.factor.askForCode : t.factor.askForPasskey}</p>
      {passkeyOptions && isSupported() && (
        <Button
          look={hasApp ? 'plain' : 'primary'}
          disabled={isDisabled}
          onClick={() =>
            entry.mutate(async () => ({ passkey: await signWithPasskey(passkeyOptions) }))
          }
        >
          {t.passkeys.use}
        </Button>
      )}
      <CodeField value={code} hasApp={hasApp} onChange={setCode} />
      <FormError id={errorId} message={formError(entry.error, waitSeconds)} />
      <Button look={hasApp ? 'primary' : 'plain'} type="submit" disabled={isDisabled}>
        {entry.isPending ? t.session.oneMoment : t.session.signIn}
      </Button>
      <Button look="quiet" onClick={() => onBack(false)}>
        {t.factor.back}
      </Button>
    </form>
  );
}

function CodeField({
  value,
  hasApp,
  onChange,
}: {
  value: string;
  /** The user has an authenticator app; else only recovery codes fit. */
  hasApp: boolean;
  onChange: (code: string) => void;
}) {
  return (
    <Field
      label={hasApp ? t.factor.code : t.factor.recoveryCode}
      name="code"
      autoComplete="one-time-code"
      autoCapitalize="none"
      spellCheck={false}
      required
      autoFocus
      data-first
      value={value}
      hint={hasApp ? t.factor.codeHint : undefined}
      onChange={(event) => onChange(event.target.value)}
    />
  );
}

const codeOf = (error: unknown) => (error instanceof ApiError ? error.code : undefined);

function formError(error: unknown, waitSeconds: number): string | undefined {
  if (!error) return undefined;
  if (waitSeconds > 0) return t.session.tooMany(waitSeconds);
  switch (codeOf(error)) {
    case 'wrong_code':
      return t.factor.wrong;
    case 'too_many_attempts':
      return t.session.tryNow;
    default:
      return messageOf(error);
  }
}
