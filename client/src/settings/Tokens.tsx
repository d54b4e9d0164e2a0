import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { messageOf } from '../api/client';
import type { ApiToken, User } from '../api/types';
import { dateAndTime } from '../format';
import { t } from '../strings';
import { Button, Chip, Empty, IconButton, Spinner } from '../ui/controls';
import { ConfirmRemoval } from './ConfirmRemoval';
import { NewToken } from './NewToken';
import { removeToken, tokensQuery } from './people';
import { Section } from './Section';
import css from './settings.module.css';

const words = t.settings.tokens;

/** Ways in for programs. */
export function Tokens({ user }: { user: User }) {
  const tokens = useQuery(tokensQuery);
  const [isAdding, setIsAdding] = useState(false);
  const [leaving, setLeaving] = useState<ApiToken>();
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
        <TokenList tokens={tokens.data.tokens} onTakeBack={setLeaving} />
      )}
      {isAdding && <NewToken isAdmin={user.role === 'admin'} onClose={() => setIsAdding(false)} />}
      {leaving && (
        <ConfirmRemoval
          title={words.takeBackTitle(leaving.name)}
          text={words.takeBackText}
          action={words.takeBack}
          done={words.takenBack(leaving.name)}
          remove={() => removeToken(leaving.id)}
          onClose={() => setLeaving(undefined)}
        />
      )}
    </Section>
  );
}

export function TokenList({
  tokens,
  onTakeBack,
}: {
  tokens: readonly ApiToken[];
  onTakeBack: (token: ApiToken) => void;
}) {
  return (
    <ul className={css.list}>
      {tokens.map((token) => (
        <OneToken key={token.id} token={token} onTakeBack={() => onTakeBack(token)} />
      ))}
    </ul>
  );
}

function OneToken({ token, onTakeBack }: { token: ApiToken; onTakeBack: () => void }) {
  const { createdAt, expiresAt, usedAt } = token;
  const isOver = expiresAt != null && new Date(expiresAt) <= new Date();
  const about = [
    words.created(dateAndTime(createdAt)),
    usedAt ? words.used(dateAndTime(usedAt)) : words.unused,
    expiresAt ? words.expires(dateAndTime(expiresAt)) : words.noEnd,
  ];
  return (
    <li className={css.item}>
      <div className={css.itemText}>
        <span className={css.itemName}>
          {token.name} {isOver && <Chip tone="warn">{words.over}</Chip>}
        </span>
        <span className={css.soft}>
          {token.scopes.map((scope) => words.scope[scope]).join(' · ')}
        </span>
        <span className={css.soft}>{about.join(' · ')}</span>
      </div>
      <IconButton icon="trash" label={words.takeBackOf(token.name)} onClick={onTakeBack} />
    </li>
  );
}
