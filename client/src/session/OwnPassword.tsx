/** Somebody else set the password: its user chooses another before anything else. */
import { useMutation } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { ApiError, messageOf } from '../api/client';
import { queries, sessionQuery } from '../api/queries';
import type { User } from '../api/types';
import { setPassword } from '../settings/people';
import { t } from '../strings';
import { Button, Field } from '../ui/controls';
import { SignOut } from './Account';
import { PASSWORD_CHARACTERS_MIN } from './Credentials';
import css from './session.module.css';
import { Welcome } from './Welcome';

export function OwnPassword({ user }: { user: User }) {
  const [old, setOld] = useState('');
  const [isOldAsked, setIsOldAsked] = useState(false);
  const [fresh, setFresh] = useState('');
  const change = useMutation({
    mutationFn: () => setPassword(user.id, fresh, isOldAsked ? old : undefined),
    onSuccess: () => queries.invalidateQueries({ queryKey: sessionQuery.queryKey }),
    // Signed in a while ago: whoever holds the session has to know the old one.
    onError: (error) => setIsOldAsked(isOldAsked || isOldWrong(error)),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!change.isPending) change.mutate();
  };
  const message = change.isError ? messageOf(change.error) : undefined;
  return (
    <Welcome title={t.session.ownTitle} lead={t.session.ownLead(user.name)}>
      <form className={css.form} onSubmit={submit}>
        <input type="hidden" name="username" autoComplete="username" value={user.name} readOnly />
        {isOldAsked && (
          <Field
            label={t.session.givenPassword}
            type="password"
            autoComplete="current-password"
            required
            value={old}
            error={isOldWrong(change.error) && old ? t.session.givenWrong : undefined}
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
          error={isOldWrong(change.error) ? undefined : message}
          onChange={(event) => setFresh(event.target.value)}
        />
        <Button look="primary" type="submit" disabled={change.isPending}>
          {change.isPending ? t.session.oneMoment : t.session.ownAction}
        </Button>
      </form>
      <SignOut />
    </Welcome>
  );
}

const isOldWrong = (error: unknown) => error instanceof ApiError && error.code === 'wrong_password';
