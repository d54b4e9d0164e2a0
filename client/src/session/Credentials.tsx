/** Name and password: for signing in, and for the first user. */
import { useMutation } from '@tanstack/react-query';
import { type FormEvent, type ReactNode, useEffect, useId, useState } from 'react';
import { ApiError, messageOf } from '../api/client';
import { t } from '../strings';
import { Button, Field } from '../ui/controls';
import css from './session.module.css';

interface Typed {
  name: string;
  password: string;
}

export function Credentials({
  action,
  isNew = false,
  name: givenName,
  submit,
  children,
}: {
  /** What is done, as a verb. */
  action: string;
  /** The password is chosen now: a manager of passwords may offer one. */
  isNew?: boolean;
  /** Who has to sign in again. */
  name?: string | undefined;
  submit: (typed: Typed) => Promise<void>;
  children?: ReactNode;
}) {
  const [name, setName] = useState(givenName ?? '');
  const [password, setPassword] = useState('');
  const entry = useMutation({ mutationFn: submit });
  const waitSeconds = useCountdown(entry.error);
  const errorId = useId();
  const onSubmit = (event: FormEvent) => {
    event.preventDefault();
    if (!entry.isPending && waitSeconds === 0) entry.mutate({ name, password });
  };
  return (
    <form className={css.form} onSubmit={onSubmit} aria-describedby={errorId}>
      {children}
      <Field
        label={t.session.name}
        name="username"
        autoComplete="username"
        autoCapitalize="none"
        spellCheck={false}
        required
        autoFocus={!givenName}
        value={name}
        error={fieldError(entry.error, 'bad_name')}
        onChange={(event) => setName(event.target.value)}
      />
      <Field
        label={t.session.password}
        name="password"
        type="password"
        autoComplete={isNew ? 'new-password' : 'current-password'}
        required
        minLength={isNew ? PASSWORD_CHARACTERS_MIN : undefined}
        data-first={givenName ? true : undefined}
        value={password}
        hint={isNew ? t.session.passwordHint : undefined}
        error={fieldError(entry.error, 'weak_password')}
        onChange={(event) => setPassword(event.target.value)}
      />
      <div id={errorId} role="alert">
        {entry.isError && !isOfField(entry.error) && (
          <p className={css.error}>
            {waitSeconds > 0 ? t.session.tooMany(waitSeconds) : refusalOf(entry.error)}
          </p>
        )}
      </div>
      <Button look="primary" type="submit" disabled={entry.isPending || waitSeconds > 0}>
        {entry.isPending ? t.session.oneMoment : action}
      </Button>
    </form>
  );
}

/** What the server takes at least; it says so itself too. */
export const PASSWORD_CHARACTERS_MIN = 8;

const OF_FIELDS = ['bad_name', 'weak_password'];

const codeOf = (error: unknown) => (error instanceof ApiError ? error.code : undefined);

const isOfField = (error: unknown) => OF_FIELDS.includes(codeOf(error) ?? '');

const fieldError = (error: unknown, code: string) =>
  codeOf(error) === code ? messageOf(error) : undefined;

function refusalOf(error: unknown): string {
  switch (codeOf(error)) {
    case 'wrong_credentials':
      return t.session.wrong;
    case 'too_many_attempts':
      return t.session.tryNow;
    case 'not_allowed':
      return t.session.linkOver;
    default:
      return messageOf(error);
  }
}

/** Seconds until the server lets one try again. */
export function useCountdown(error: unknown): number {
  const [left, setLeft] = useState(0);
  useEffect(() => {
    const wait = error instanceof ApiError ? (error.waitSeconds ?? 0) : 0;
    setLeft(wait);
    if (wait === 0) return;
    const until = Date.now() + wait * 1_000;
    const timer = setInterval(() => {
      const seconds = Math.max(0, Math.ceil((until - Date.now()) / 1_000));
      setLeft(seconds);
      if (seconds === 0) clearInterval(timer);
    }, 1_000);
    return () => clearInterval(timer);
  }, [error]);
  return left;
}
