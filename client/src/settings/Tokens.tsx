import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { removeToken, tokensQuery } from '../account/requests';
import { messageOf } from '../api/client';
import type { ApiToken, User } from '../api/types';
import { dateAndTime } from '../format/time';
import { t } from '../strings';
import { Button, Chip, Empty, IconButton, Spinner } from '../ui/controls';
import { ConfirmRemoval } from './ConfirmRemoval';
import { NewToken } from './NewToken';
import { Section } from './Section';
import css from './settings.module.css';

const words = t.settings.tokens;

/** The API tokens of the user. */
export function Tokens({ user }: { user: User }) {
  const tokens = useQuery(tokensQuery);
  const [isAdding, setIsAdding] = useState(false);
  const [revoking, setRevoking] = useState<ApiToken>();
  return (
    <Section
      id="tokens"
      title={words.title}
      hint={words.hint}
      action={
        <Button icon="plus" onClick={() => setIsAdding(true)}>
          {words.add}
        </Button>
      }
    >
      {tokens.isPending && <Spinner label={words.loading} />}
      {tokens.isError && !tokens.data && (
        <Empty
          title={messageOf(tokens.error)}
          action={<Button onClick={() => tokens.refetch()}>{t.ui.retry}</Button>}
        />
      )}
      {tokens.data?.tokens.length === 0 && <p className={css.hint}>{words.none}</p>}
      {tokens.data && tokens.data.tokens.length > 0 && (
        <TokenList tokens={tokens.data.tokens} onRevoke={setRevoking} />
      )}
      {isAdding && <NewToken isAdmin={user.role === 'admin'} onClose={() => setIsAdding(false)} />}
      {revoking && (
        <ConfirmRemoval
          title={words.revokeTitle(revoking.name)}
          text={words.revokeText}
          action={words.revoke}
          done={words.revoked(revoking.name)}
          remove={() => removeToken(revoking.id)}
          onClose={() => setRevoking(undefined)}
        />
      )}
    </Section>
  );
}

export function TokenList({
  tokens,
  onRevoke,
}: {
  tokens: readonly ApiToken[];
  onRevoke: (token: ApiToken) => void;
}) {
  return (
    <ul className={css.list}>
      {tokens.map((token) => (
        <OneToken key={token.id} token={token} onRevoke={() => onRevoke(token)} />
      ))}
    </ul>
  );
}

function OneToken({ token, onRevoke }: { token: ApiToken; onRevoke: () => void }) {
  const { createdAt, expiresAt, usedAt } = token;
  const hasExpired = expiresAt != null && new Date(expiresAt) <= new Date();
  const about = [
    words.created(dateAndTime(createdAt)),
    usedAt ? words.used(dateAndTime(usedAt)) : words.unused,
    expiresAt ? words.expires(dateAndTime(expiresAt)) : words.noEnd,
  ];
  return (
    <li className={css.item}>
      <div className={css.itemText}>
        <span className={css.itemName}>
          {token.name} {hasExpired && <Chip tone="warn">{words.expired}</Chip>}
        </span>
        <span className={css.soft}>
          {token.scopes.map((scope) => words.scope[scope]).join(' · ')}
        </span>
        <span className={css.soft}>{about.join(' · ')}</span>
      </div>
      <IconButton icon="trash" label={words.revokeOf(token.name)} onClick={onRevoke} />
    </li>
  );
}
