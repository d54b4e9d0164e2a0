/** The dialogs that add a user and set a password. */
import { useMutation } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { PASSWORD_CHARACTERS_MIN } from '../account/passwords';
import { addUser, setPassword } from '../account/requests';
import { ApiError, messageOf } from '../api/client';
import type { Role, User } from '../api/types';
import { signIn } from '../session/session';
import { t } from '../strings';
import { Button, Field, Select } from '../ui/controls';
import { Dialog } from '../ui/Dialog';
import { showToast } from '../ui/toasts';
import { ROLES, roleOf } from './roles';
import css from './settings.module.css';

const words = t.settings.users;

const isWeak = (error: unknown) => error instanceof ApiError && error.code === 'weak_password';

/** The first user becomes an admin and is signed in: from then on, everyone has to sign in. */
export function NewUser({ isFirst, onClose }: { isFirst: boolean; onClose: () => void }) {
  const [name, setName] = useState('');
  const [password, setNewPassword] = useState('');
  const [role, setNewRole] = useState<Role>(isFirst ? 'admin' : 'user');
  const add = useMutation({
    mutationFn: async () => {
      await addUser({ name, password, role });
      if (isFirst) await signIn(name, password);
    },
    onSuccess: () => {
      showToast(words.added(name.trim()));
      onClose();
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!add.isPending) add.mutate();
  };
  const message = add.isError ? messageOf(add.error) : undefined;
  return (
    <Dialog title={words.addTitle} onClose={onClose}>
      <form className={css.dialogForm} onSubmit={submit}>
        <Field
          label={words.name}
          autoComplete="off"
          autoCapitalize="none"
          spellCheck={false}
          required
          value={name}
          error={isWeak(add.error) ? undefined : message}
          onChange={(event) => setName(event.target.value)}
        />
        <PasswordField
          value={password}
          error={isWeak(add.error) ? message : undefined}
          onChange={setNewPassword}
        />
        {!isFirst && <p className={css.hint}>{words.addHint}</p>}
        {!isFirst && (
          <Select
            label={words.role}
            value={role}
            options={ROLES}
            onChange={(value) => setNewRole(roleOf(value))}
          />
        )}
        <Actions action={words.add} isBusy={add.isPending} onClose={onClose} />
      </form>
    </Dialog>
  );
}

/** Sets a temporary password for another user. */
export function ResetPassword({ user, onClose }: { user: User; onClose: () => void }) {
  const [password, setNewPassword] = useState('');
  const change = useMutation({
    mutationFn: () => setPassword(user.id, password),
    onSuccess: () => {
      showToast(words.passwordSet(user.name));
      onClose();
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!change.isPending) change.mutate();
  };
  return (
    <Dialog title={words.newPasswordFor(user.name)} onClose={onClose}>
      <form className={css.dialogForm} onSubmit={submit}>
        <p>{words.newPasswordHint}</p>
        <PasswordField
          value={password}
          error={change.isError ? messageOf(change.error) : undefined}
          onChange={setNewPassword}
        />
        <Actions action={words.save} isBusy={change.isPending} onClose={onClose} />
      </form>
    </Dialog>
  );
}

function PasswordField({
  value,
  error,
  onChange,
}: {
  value: string;
  error: string | undefined;
  onChange: (value: string) => void;
}) {
  return (
    <Field
      label={words.password}
      type="password"
      autoComplete="new-password"
      required
      minLength={PASSWORD_CHARACTERS_MIN}
      hint={t.session.passwordHint}
      value={value}
      error={error}
      onChange={(event) => onChange(event.target.value)}
    />
  );
}

function Actions({
  action,
  isBusy,
  onClose,
}: {
  action: string;
  isBusy: boolean;
  onClose: () => void;
}) {
  return (
    <div className={css.actions}>
      <Button onClick={onClose}>{t.ui.cancel}</Button>
      <Button look="primary" type="submit" disabled={isBusy}>
        {action}
      </Button>
    </div>
  );
}
