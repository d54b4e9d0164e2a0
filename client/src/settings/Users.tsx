import { useMutation, useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { removeUser, setRole, usersQuery } from '../account/requests';
import { messageOf } from '../api/client';
import type { SessionState, User } from '../api/types';
import { dateAndTime } from '../format/time';
import { t } from '../strings';
import { Button, Chip, Empty, IconButton, Select, Spinner } from '../ui/controls';
import { showError } from '../ui/toasts';
import { ConfirmRemoval } from './ConfirmRemoval';
import { NewUser, ResetPassword } from './NewUser';
import { ROLES, roleOf } from './roles';
import { Section } from './Section';
import css from './settings.module.css';
import { UserAccess } from './UserAccess';

const words = t.settings.users;

/** The open dialog. */
type OpenDialog = { type: 'add' } | { type: 'access' | 'password' | 'remove'; user: User };

/** The users, for admins and on an open server. */
export function Users({ session }: { session: SessionState }) {
  const users = useQuery(usersQuery);
  const [dialog, setDialog] = useState<OpenDialog>();
  const close = () => setDialog(undefined);
  return (
    <Section
      id="users"
      title={words.title}
      hint={session.open ? words.openHint : words.hint}
      action={
        <Button icon="plus" onClick={() => setDialog({ type: 'add' })}>
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
              onOpen={(type) => setDialog({ type, user })}
            />
          ))}
        </ul>
      )}
      {dialog?.type === 'add' && <NewUser isFirst={session.open} onClose={close} />}
      {dialog?.type === 'access' && (
        // The current state of the user, which changes while the dialog is open.
        <UserAccess
          user={users.data?.users.find(({ id }) => id === dialog.user.id) ?? dialog.user}
          onClose={close}
        />
      )}
      {dialog?.type === 'password' && <ResetPassword user={dialog.user} onClose={close} />}
      {dialog?.type === 'remove' && (
        <ConfirmRemoval
          title={words.removeTitle(dialog.user.name)}
          text={words.removeText}
          action={words.remove}
          done={words.removed(dialog.user.name)}
          remove={() => removeUser(dialog.user.id)}
          onClose={close}
        />
      )}
    </Section>
  );
}

function OneUser({
  user,
  isMe,
  onOpen,
}: {
  user: User;
  isMe: boolean;
  onOpen: (type: 'access' | 'password' | 'remove') => void;
}) {
  const change = useMutation({
    mutationFn: (role: string) => setRole(user.id, roleOf(role)),
    onError: (error) => showError(messageOf(error)),
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
        // Only another admin can change one's own role.
        disabled={isMe || change.isPending}
        onChange={(role) => change.mutate(role)}
      />
      <Button
        look="quiet"
        disabled={isMe}
        aria-label={words.accessOf(user.name)}
        onClick={() => onOpen('access')}
      >
        {words.access}
      </Button>
      <Button
        look="quiet"
        disabled={isMe}
        aria-label={words.newPasswordFor(user.name)}
        onClick={() => onOpen('password')}
      >
        {words.newPassword}
      </Button>
      <IconButton
        icon="trash"
        label={words.removeOf(user.name)}
        disabled={isMe}
        onClick={() => onOpen('remove')}
      />
    </li>
  );
}
