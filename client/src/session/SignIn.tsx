/** Signing in: name and password, then a second factor if the user has one; or a passkey alone. */
import { useMutation } from '@tanstack/react-query';
import { useState } from 'react';
import { canUsePasskeys } from '../account/passkeys';
import { ApiError, messageOf } from '../api/client';
import type { SecondStep } from '../api/types';
import { t } from '../strings';
import { Button } from '../ui/controls';
import { Credentials } from './Credentials';
import { FormError } from './FormError';
import { SecondStepForm } from './SecondStepForm';
import { signIn, signInWithPasskey } from './session';
import css from './session.module.css';

export function SignIn({
  name,
  passkeyHost,
  onDone,
}: {
  /** The user who has to sign in again. */
  name?: string | undefined;
  /** The host name that passkeys are bound to, if any user has one. */
  passkeyHost: string | null | undefined;
  onDone?: () => void;
}) {
  const [step, setStep] = useState<SecondStep>();
  const [hasExpired, setHasExpired] = useState(false);
  if (step)
    return (
      <SecondStepForm
        step={step}
        onDone={onDone}
        onBack={(hasExpired) => {
          setStep(undefined);
          setHasExpired(hasExpired);
        }}
      />
    );
  return (
    <>
      <Credentials
        action={t.session.signIn}
        name={name}
        submit={async ({ name, password }) => {
          setHasExpired(false);
          const next = await signIn(name, password);
          if (next) setStep(next);
          else onDone?.();
        }}
      >
        {hasExpired && (
          <p className={css.error} role="alert">
            {t.factor.over}
          </p>
        )}
      </Credentials>
      {canUsePasskeys(passkeyHost) && <PasskeySignIn onDone={onDone} />}
    </>
  );
}

function PasskeySignIn({ onDone }: { onDone: (() => void) | undefined }) {
  const entry = useMutation({ mutationFn: signInWithPasskey, onSuccess: () => onDone?.() });
  return (
    <div className={css.form}>
      <Button disabled={entry.isPending} onClick={() => entry.mutate()}>
        {t.passkeys.signIn}
      </Button>
      <FormError message={entry.isError ? refusalOf(entry.error) : undefined} />
    </div>
  );
}

function refusalOf(error: unknown): string {
  switch (error instanceof ApiError ? error.code : undefined) {
    case 'wrong_code':
      return t.passkeys.unknown;
    case 'too_many_attempts':
      return t.session.tryNow;
    default:
      return messageOf(error);
  }
}
