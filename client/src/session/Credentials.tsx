/** The form for name and password, at sign-in and for the first user. */
import { useMutation } from '@tanstack/react-query';
import { type FormEvent, type ReactNode, useId, useState } from 'react';
import { PASSWORD_CHARACTERS_MIN } from '../account/passwords';
import { ApiError, messageOf } from '../api/client';
import { t } from '../strings';
import { Button, Field } from '../ui/controls';
import { FormError } from './FormError';
import css from './session.module.css';
import { useCountdown } from './useCountdown';

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
  /** The label of the button: a verb. */
  action: string;
  /** The user chooses the password here, so that a password manager may suggest one. */
  isNew?: boolean;
  /** The user who has to sign in again. */
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
      <NameField
        value={name}
        isFirst={!givenName}
        error={fieldError(entry.error, 'bad_name')}
        onChange={setName}
      />
      <PasswordField
        value={password}
        isNew={isNew}
        isFirst={Boolean(givenName)}
        error={fieldError(entry.error, 'weak_password')}
        onChange={setPassword}
      />
      <FormError id={errorId} message={formError(entry.error, waitSeconds)} />
      <Button look="primary" type="submit" disabled={entry.isPending || waitSeconds > 0}>
        {entry.isPending ? t.session.oneMoment : action}
      </Button>
    </form>
  );
}

interface FieldProps {
  value: string;
  /** The form starts here. */
  isFirst: boolean;
  error: string | undefined;
  onChange: (value: string) => void;
}

function NameField({ value, isFirst, error, onChange }: FieldProps) {
  return (
    <Field
      label={t.session.name}
      name="username"
      autoComplete="username"
      autoCapitalize="none"
      spellCheck={false}
      required
      autoFocus={isFirst}
      value={value}
      error={error}
      onChange={(event) => onChange(event.target.value)}
    />
  );
}

function PasswordField({
  value,
  isNew,
  isFirst,
  error,
  onChange,
}: FieldProps & { isNew: boolean }) {
  return (
    <Field
      label={t.session.password}
      name="password"
      type="password"
      autoComplete={isNew ? 'new-password' : 'current-password'}
      required
      minLength={isNew ? PASSWORD_CHARACTERS_MIN : undefined}
      data-first={isFirst || undefined}
      value={value}
      hint={isNew ? t.session.passwordHint : undefined}
      error={error}
      onChange={(event) => onChange(event.target.value)}
    />
  );
}

/** Error codes that are shown at a field and not below the form. */
const FIELD_CODES = ['bad_name', 'weak_password'];

const codeOf = (error: unknown) => (error instanceof ApiError ? error.code : undefined);

const fieldError = (error: unknown, code: string) =>
  codeOf(error) === code ? messageOf(error) : undefined;

function formError(error: unknown, waitSeconds: number): string | undefined {
  const code = codeOf(error);
  if (!error || FIELD_CODES.includes(code ?? '')) return undefined;
  if (waitSeconds > 0) return t.session.tooMany(waitSeconds);
  switch (code) {
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
