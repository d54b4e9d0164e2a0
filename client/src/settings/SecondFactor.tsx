/** The second factors of an account: an authenticator app, passkeys and recovery codes. */
import { useMutation, useQuery } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { canUsePasskeys, isSupported } from '../account/passkeys';
import { beginTotp, secondFactorQuery } from '../account/requests';
import { messageOf } from '../api/client';
import { queries, sessionQuery } from '../api/queries';
import type { SecondFactor as Factors } from '../api/types';
import { dateAndTime } from '../format/time';
import { t } from '../strings';
import { Button, Empty, IconButton, Spinner } from '../ui/controls';
import { showError } from '../ui/toasts';
import { type OpenDialog, SecondFactorDialog } from './SecondFactorDialog';
import { Section } from './Section';
import css from './settings.module.css';

const words = t.settings.factor;

export function SecondFactor() {
  return (
    <Section id="second-factor" title={words.title} hint={words.hint}>
      <SecondFactorList />
    </Section>
  );
}

/** The list without a heading, for the screen that requires a second factor. */
export function SecondFactorList() {
  const factors = useQuery(secondFactorQuery);
  const [dialog, setDialog] = useState<OpenDialog>();
  const close = () => {
    setDialog(undefined);
    // Adding or removing a factor may change whether the user has access to the page.
    void queries.invalidateQueries({ queryKey: sessionQuery.queryKey });
  };
  const setUpApp = useMutation({
    mutationFn: beginTotp,
    onSuccess: (setup) => setDialog({ type: 'app', setup }),
    onError: (error) => showError(messageOf(error)),
  });
  if (factors.isPending) return <Spinner label={words.loading} />;
  if (!factors.data)
    return (
      <Empty
        title={messageOf(factors.error)}
        action={<Button onClick={() => factors.refetch()}>{t.ui.retry}</Button>}
      />
    );
  const { totpSince, passkeys, recoveryCodesLeft } = factors.data;
  const hasAny = totpSince != null || passkeys.length > 0;
  return (
    <>
      <ul className={css.list}>
        <AppItem
          since={totpSince}
          isBusy={setUpApp.isPending}
          onSetUp={() => setUpApp.mutate()}
          onRemove={() => setDialog({ type: 'removeApp' })}
        />
        {passkeys.map((passkey) => (
          <PasskeyItem
            key={passkey.id}
            passkey={passkey}
            onRemove={() => setDialog({ type: 'removePasskey', ...passkey })}
          />
        ))}
        <NewPasskeyItem factors={factors.data} onAdd={() => setDialog({ type: 'passkey' })} />
        {hasAny && (
          <Item title={words.codes} text={words.codesLeft(recoveryCodesLeft)}>
            <Button onClick={() => setDialog({ type: 'renewCodes' })}>{words.renew}</Button>
          </Item>
        )}
      </ul>
      {dialog && <SecondFactorDialog dialog={dialog} onOpen={setDialog} onClose={close} />}
    </>
  );
}

function Item({ title, text, children }: { title: string; text: ReactNode; children: ReactNode }) {
  return (
    <li className={css.item}>
      <div className={css.itemText}>
        <span className={css.itemName}>{title}</span>
        <span className={css.soft}>{text}</span>
      </div>
      {children}
    </li>
  );
}

function AppItem({
  since,
  isBusy,
  onSetUp,
  onRemove,
}: {
  since: Factors['totpSince'];
  isBusy: boolean;
  onSetUp: () => void;
  onRemove: () => void;
}) {
  return (
    <Item title={words.app} text={since ? words.appSince(dateAndTime(since)) : words.noApp}>
      <Button disabled={isBusy} onClick={onSetUp}>
        {since ? words.replaceApp : words.addApp}
      </Button>
      {since && <IconButton icon="trash" label={words.removeApp} onClick={onRemove} />}
    </Item>
  );
}

function PasskeyItem({
  passkey: { name, createdAt, usedAt },
  onRemove,
}: {
  passkey: Factors['passkeys'][number];
  onRemove: () => void;
}) {
  const used = usedAt ? words.used(dateAndTime(usedAt)) : words.unused;
  return (
    <Item
      title={words.passkeyNamed(name)}
      text={`${words.since(dateAndTime(createdAt))} · ${used}`}
    >
      <IconButton icon="trash" label={words.removePasskey(name)} onClick={onRemove} />
    </Item>
  );
}

function NewPasskeyItem({ factors, onAdd }: { factors: Factors; onAdd: () => void }) {
  const obstacle = passkeyObstacle(factors);
  return (
    <Item title={words.newPasskey} text={obstacle ?? words.passkeyHint}>
      <Button disabled={obstacle !== undefined} onClick={onAdd}>
        {words.addPasskey}
      </Button>
    </Item>
  );
}

/** Why this page cannot create a passkey; undefined if it can. */
function passkeyObstacle({ passkeyHost, noPasskeys }: Factors): string | undefined {
  if (!passkeyHost) return words.noPasskeys(noPasskeys ?? '');
  if (!isSupported()) return words.browserHasNone;
  return canUsePasskeys(passkeyHost) ? undefined : words.otherHost(passkeyHost);
}
