import { useMutation, useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { messageOf } from '../api/client';
import type { SessionState, User } from '../api/types';
import { dateAndTime } from '../format';
import { t } from '../strings';
import { Button, Chip, Empty, IconButton, Select, Spinner } from '../ui/controls';
import { complain } from '../ui/toasts';
import { ConfirmRemoval } from './ConfirmRemoval';
import { NewPassword, NewUser } from './NewUser';
import { removeUser, setRole, usersQuery } from './people';
import { ROLES, roleOf } from './roles';
import { Section } from './Section';
import css from './settings.module.css';
import { UserAccess } from './UserAccess';

const words = t.settings.users;

/** What is asked of someone's account. */
type Asked = { what: 'add' } | { what: 'access' | 'password' | 'remove'; user: User };

/** Everyone who may sign in; for admins, and for whoever uses an open server. */
export function Users({ session }: { session: SessionState }) {
  const users = useQuery(usersQuery);
  const [asked, setAsked] = useState<Asked>();
  const close = () => setAsked(undefined);
  return (
    <Section
      id="users"
      title={words.title}
      hint={session.open ? words.openHint : words.hint}
      action={
        <Button icon="plus" onClick={() => setAsked({ what: 'add' })}>
          {words.add}
        </Button>
      }
    >
      {users.isPending && <Spinner label={words.loading} />}
      {users.isError && !users.data && (
        <Empty
          title={messageOf(users.error)}
          action={<Button onClick={() => users.refetch()}>{t.ui.retry}</Button>}
        />
      )}
      {users.data && users.data.users.length > 0 && (
        <ul className={css.list}>
          {users.data.users.map((user) => (
            <OneUser
              key={user.id}
              user={user}
              isMe={user.id === session.user?.id}
              onAsk={(what) => setAsked({ what, user })}
            />
          ))}
        </ul>
      )}
      {asked?.what === 'add' && <NewUser isFirst={session.open} onClose={close} />}
      {asked?.what === 'access' && (
        // As it is now: what is taken away in it shows.
        <UserAccess
          user={users.data?.users.find(({ id }) => id === asked.user.id) ?? asked.user}
          onClose={close}
        />
      )}
      {asked?.what === 'password' && <NewPassword user={asked.user} onClose={close} />}
      {asked?.what === 'remove' && (
        <ConfirmRemoval
          title={words.removeTitle(asked.user.name)}
          text={words.removeText}
          action={words.remove}
          done={words.removed(asked.user.name)}
          remove={() => removeUser(asked.user.id)}
          onClose={close}
        />
      )}
    </Section>
  );
}

function OneUser({
  user,
  isMe,
  onAsk,
}: {
  user: User;
  isMe: boolean;
  onAsk: (what: 'access' | 'password' | 'remove') => void;
}) {
  const change = useMutation({
    mutationFn: (role: string) => setRole(user.id, roleOf(role)),
    onError: (error) => complain(messageOf(error)),
  });
  return (
    <li className={css.item}>
      <div className={css.itemText}>
        <span className={css.itemName}>
          {user.name}
          {isMe && <span className={css.soft}> ({words.you})</span>}{' '}
          {user.hasSecondFactor && <Chip>{words.factor}</Chip>}{' '}
          {user.passwordIsTemporary && <Chip tone="warn">{words.temporary}</Chip>}
        </span>
        <span className={css.soft}>{words.since(dateAndTime(user.createdAt))}</span>
      </div>
      <Select
        label={words.roleOf(user.name)}
        isLabelHidden
        value={user.role}
        options={ROLES}
        // One's own rights are another admin's to change.
        disabled={isMe || change.isPending}
        onChange={(role) => change.mutate(role)}
      />
      <Button
        look="quiet"
        disabled={isMe}
        aria-label={words.accessOf(user.name)}
        onClick={() => onAsk('access')}
      >
        {words.access}
      </Button>
      <Button
        look="quiet"
        disabled={isMe}
        aria-label={words.newPasswordFor(user.name)}
        onClick={() => onAsk('password')}
      >
        {words.newPassword}
      </Button>
      <IconButton
        icon="trash"
        label={words.removeOf(user.name)}
        disabled={isMe}
        onClick={() => onAsk('remove')}
      />
    </li>
  );
}
