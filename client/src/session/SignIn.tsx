/** Signing in: name and password, then a second factor where there is one; or a passkey alone. */
import { useMutation } from '@tanstack/react-query';
import { type FormEvent, useId, useState } from 'react';
import { ApiError, messageOf } from '../api/client';
import type { SecondStep } from '../api/types';
import { t } from '../strings';
import { Button, Field } from '../ui/controls';
import { Credentials, useCountdown } from './Credentials';
import { canUsePasskeys, isSupported, signWithPasskey } from './passkeys';
import { finishSignIn, signIn, signInWithPasskey } from './session';
import css from './session.module.css';

export function SignIn({
  name,
  passkeyHost,
  onDone,
}: {
  /** Who has to sign in again. */
  name?: string | undefined;
  /** The host name that passkeys are good for, if anybody has one. */
  passkeyHost: string | null | undefined;
  onDone?: () => void;
}) {
  const [step, setStep] = useState<SecondStep>();
  const [isOver, setIsOver] = useState(false);
  if (step)
    return (
      <SecondStepForm
        step={step}
        onDone={onDone}
        onBack={(isTooLate) => {
          setStep(undefined);
          setIsOver(isTooLate);
        }}
      />
    );
  return (
    <>
      <Credentials
        action={t.session.signIn}
        name={name}
        submit={async ({ name, password }) => {
          setIsOver(false);
          const next = await signIn(name, password);
          if (next) setStep(next);
          else onDone?.();
        }}
      >
        {isOver && (
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
      <div role="alert">
        {entry.isError && <p className={css.error}>{refusalOf(entry.error)}</p>}
      </div>
    </div>
  );
}

function SecondStepForm({
  step,
  onDone,
  onBack,
}: {
  step: SecondStep;
  onDone: (() => void) | undefined;
  onBack: (isTooLate: boolean) => void;
}) {
  const [code, setCode] = useState('');
  const errorId = useId();
  const { token, passkeyOptions } = step;
  const entry = useMutation({
    mutationFn: async (prove: () => Promise<{ code: string } | { passkey: object }>) =>
      finishSignIn(token, await prove()),
    onSuccess: () => onDone?.(),
    onError: (error) => {
      if (codeOf(error) === 'sign_in_again') onBack(true);
    },
  });
  // A passkey's answer, right or wrong, ends this sign-in: the challenge is good once.
  const waitSeconds = useCountdown(entry.error);
  const isHeld = entry.isPending || waitSeconds > 0;
  const onSubmit = (event: FormEvent) => {
    event.preventDefault();
    if (!isHeld) entry.mutate(async () => ({ code }));
  };
  return (
    <form className={css.form} onSubmit={onSubmit} aria-describedby={errorId}>
      <p>{step.hasApp ? t.factor.askForCode : t.factor.askForPasskey}</p>
      {passkeyOptions && isSupported() && (
        <Button
          look={step.hasApp ? 'plain' : 'primary'}
          disabled={isHeld}
          onClick={() =>
            entry.mutate(async () => ({ passkey: await signWithPasskey(passkeyOptions) }))
          }
        >
          {t.passkeys.use}
        </Button>
      )}
      <Field
        label={step.hasApp ? t.factor.code : t.factor.recoveryCode}
        name="code"
        autoComplete="one-time-code"
        autoCapitalize="none"
        spellCheck={false}
        required
        autoFocus
        data-first
        value={code}
        hint={step.hasApp ? t.factor.codeHint : undefined}
        onChange={(event) => setCode(event.target.value)}
      />
      <div id={errorId} role="alert">
        {entry.isError && (
          <p className={css.error}>
            {waitSeconds > 0 ? t.session.tooMany(waitSeconds) : refusalOf(entry.error)}
          </p>
        )}
      </div>
      <Button look={step.hasApp ? 'primary' : 'plain'} type="submit" disabled={isHeld}>
        {entry.isPending ? t.session.oneMoment : t.session.signIn}
      </Button>
      <Button look="quiet" onClick={() => onBack(false)}>
        {t.factor.back}
      </Button>
    </form>
  );
}

const codeOf = (error: unknown) => (error instanceof ApiError ? error.code : undefined);

function refusalOf(error: unknown): string {
  switch (codeOf(error)) {
    case 'wrong_code':
      return t.factor.wrong;
    case 'too_many_attempts':
      return t.session.tryNow;
    default:
      return messageOf(error);
  }
}
