import { useMutation } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { PASSWORD_CHARACTERS_MIN } from '../account/passwords';
import { setPassword } from '../account/requests';
import { ApiError, messageOf } from '../api/client';
import type { User } from '../api/types';
import { wakeLink } from '../live/store';
import { SignOut } from '../session/SignOut';
import { t } from '../strings';
import { Button, Field } from '../ui/controls';
import { showToast } from '../ui/toasts';
import { Section } from './Section';
import css from './settings.module.css';

const words = t.settings.account;

/** The signed-in user, with the form that changes the password. */
export function Account({ user }: { user: User }) {
  return (
    <Section
      id="account"
      title={words.title}
      hint={`${words.who(user.name)} · ${user.role === 'admin' ? words.admin : words.user}`}
      action={<SignOut />}
    >
      <ChangePassword user={user} />
    </Section>
  );
}

function ChangePassword({ user }: { user: User }) {
  const [old, setOld] = useState('');
  const [fresh, setFresh] = useState('');
  const change = useMutation({
    mutationFn: () => setPassword(user.id, fresh, old),
    onSuccess: () => {
      setOld('');
      setFresh('');
      showToast(words.changed);
      // The server has closed the link of the old session.
      wakeLink();
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!change.isPending) change.mutate();
  };
  const code = change.error instanceof ApiError ? change.error.code : undefined;
  const message = change.isError ? messageOf(change.error) : undefined;
  return (
    <form className={css.form} onSubmit={submit} aria-label={words.change}>
      {/* Tells password managers the user name. */}
      <input type="hidden" name="username" autoComplete="username" value={user.name} readOnly />
      <Field
        label={words.old}
        type="password"
        autoComplete="current-password"
        required
        value={old}
        error={
          code === 'wrong_password'
            ? words.wrongOld
            : code === 'weak_password'
              ? undefined
              : message
        }
        onChange={(event) => setOld(event.target.value)}
      />
      <Field
        label={words.new}
        type="password"
        autoComplete="new-password"
        required
        minLength={PASSWORD_CHARACTERS_MIN}
        value={fresh}
        hint={t.session.passwordHint}
        error={code === 'weak_password' ? message : undefined}
        onChange={(event) => setFresh(event.target.value)}
      />
      <div>
        <Button type="submit" disabled={change.isPending}>
          {words.save}
        </Button>
      </div>
    </form>
  );
}
