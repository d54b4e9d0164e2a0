/** Shown before any other screen while the password of the user is temporary. */
import { useMutation } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { PASSWORD_CHARACTERS_MIN } from '../account/passwords';
import { setPassword } from '../account/requests';
import { ApiError, messageOf } from '../api/client';
import { queries, sessionQuery } from '../api/queries';
import type { User } from '../api/types';
import { t } from '../strings';
import { Button, Field } from '../ui/controls';
import { CardPage } from './CardPage';
import { SignOut } from './SignOut';
import css from './session.module.css';

export function ReplaceTemporaryPassword({ user }: { user: User }) {
  const [old, setOld] = useState('');
  const [isOldAsked, setIsOldAsked] = useState(false);
  const [fresh, setFresh] = useState('');
  const change = useMutation({
    mutationFn: () => setPassword(user.id, fresh, isOldAsked ? old : undefined),
    onSuccess: () => queries.invalidateQueries({ queryKey: sessionQuery.queryKey }),
    // The server asks for the old password if the user signed in a while ago.
    onError: (error) => setIsOldAsked(isOldAsked || isOldPasswordWrong(error)),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!change.isPending) change.mutate();
  };
  const message = change.isError ? messageOf(change.error) : undefined;
  return (
    <CardPage title={t.session.ownTitle} lead={t.session.ownLead(user.name)}>
      <form className={css.form} onSubmit={submit}>
        <input type="hidden" name="username" autoComplete="username" value={user.name} readOnly />
        {isOldAsked && (
          <Field
            label={t.session.givenPassword}
            type="password"
            autoComplete="current-password"
            required
            value={old}
            error={isOldPasswordWrong(change.error) && old ? t.session.givenWrong : undefined}
            onChange={(event) => setOld(event.target.value)}
          />
        )}
        <Field
          label={t.session.ownPassword}
          type="password"
          autoComplete="new-password"
          required
          autoFocus
          minLength={PASSWORD_CHARACTERS_MIN}
          hint={t.session.passwordHint}
          value={fresh}
          error={isOldPasswordWrong(change.error) ? undefined : message}
          onChange={(event) => setFresh(event.target.value)}
        />
        <Button look="primary" type="submit" disabled={change.isPending}>
          {change.isPending ? t.session.oneMoment : t.session.ownAction}
        </Button>
      </form>
      <SignOut />
    </CardPage>
  );
}

const isOldPasswordWrong = (error: unknown) =>
  error instanceof ApiError && error.code === 'wrong_password';
