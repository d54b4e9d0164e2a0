/** What signing in takes beside the password: an authenticator app, passkeys, recovery codes. */
import { useMutation, useQuery } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { messageOf } from '../api/client';
import { queries, sessionQuery } from '../api/queries';
import type { SecondFactor as Factor, TotpSetup } from '../api/types';
import { dateAndTime } from '../format';
import { canUsePasskeys, isSupported } from '../session/passkeys';
import { t } from '../strings';
import { Button, Empty, Field, IconButton, Spinner } from '../ui/controls';
import { Dialog } from '../ui/Dialog';
import { complain, say } from '../ui/toasts';
import { ConfirmRemoval } from './ConfirmRemoval';
import {
  addPasskey,
  beginTotp,
  finishTotp,
  removePasskey,
  removeTotp,
  renewRecoveryCodes,
  secondFactorQuery,
} from './people';
import { Section } from './Section';
import css from './settings.module.css';

const words = t.settings.factor;

export function SecondFactor() {
  return (
    <Section id="second-factor" title={words.title} hint={words.hint}>
      <SecondFactorParts />
    </Section>
  );
}

type Asked =
  | { what: 'totp'; setup: TotpSetup }
  | { what: 'passkey' | 'removeTotp' | 'renew' }
  | { what: 'removePasskey'; id: number; name: string }
  | { what: 'codes'; codes: readonly string[] };

/** Its parts, without a heading. */
export function SecondFactorParts() {
  const factor = useQuery(secondFactorQuery);
  const [asked, setAsked] = useState<Asked>();
  const close = () => {
    setAsked(undefined);
    // The page may be open to its user from now on, or closed.
    void queries.invalidateQueries({ queryKey: sessionQuery.queryKey });
  };
  const begin = useMutation({
    mutationFn: beginTotp,
    onSuccess: (setup) => setAsked({ what: 'totp', setup }),
    onError: (error) => complain(messageOf(error)),
  });
  const renew = useMutation({
    mutationFn: renewRecoveryCodes,
    onSuccess: (codes) => setAsked({ what: 'codes', codes }),
    onError: (error) => complain(messageOf(error)),
  });
  const added = (codes: readonly string[] | undefined) => {
    if (codes) setAsked({ what: 'codes', codes });
    else close();
  };
  if (factor.isPending) return <Spinner label={words.loading} />;
  if (!factor.data)
    return (
      <Empty
        title={messageOf(factor.error)}
        action={<Button onClick={() => factor.refetch()}>{t.ui.retry}</Button>}
      />
    );
  const { totpSince, passkeys, recoveryCodesLeft } = factor.data;
  const isOn = totpSince != null || passkeys.length > 0;
  return (
    <>
      <ul className={css.list}>
        <li className={css.item}>
          <div className={css.itemText}>
            <span className={css.itemName}>{words.app}</span>
            <span className={css.soft}>
              {totpSince ? words.appSince(dateAndTime(totpSince)) : words.noApp}
            </span>
          </div>
          <Button disabled={begin.isPending} onClick={() => begin.mutate()}>
            {totpSince ? words.replaceApp : words.addApp}
          </Button>
          {totpSince && (
            <IconButton
              icon="trash"
              label={words.removeApp}
              onClick={() => setAsked({ what: 'removeTotp' })}
            />
          )}
        </li>
        {passkeys.map(({ id, name, createdAt, usedAt }) => (
          <li key={id} className={css.item}>
            <div className={css.itemText}>
              <span className={css.itemName}>{words.passkeyNamed(name)}</span>
              <span className={css.soft}>
                {words.since(dateAndTime(createdAt))} ·{' '}
                {usedAt ? words.used(dateAndTime(usedAt)) : words.unused}
              </span>
            </div>
            <IconButton
              icon="trash"
              label={words.removePasskey(name)}
              onClick={() => setAsked({ what: 'removePasskey', id, name })}
            />
          </li>
        ))}
        <li className={css.item}>
          <div className={css.itemText}>
            <span className={css.itemName}>{words.newPasskey}</span>
            <span className={css.soft}>{whyNoPasskeys(factor.data) ?? words.passkeyHint}</span>
          </div>
          <Button
            disabled={whyNoPasskeys(factor.data) !== undefined}
            onClick={() => setAsked({ what: 'passkey' })}
          >
            {words.addPasskey}
          </Button>
        </li>
        {isOn && (
          <li className={css.item}>
            <div className={css.itemText}>
              <span className={css.itemName}>{words.codes}</span>
              <span className={css.soft}>{words.codesLeft(recoveryCodesLeft)}</span>
            </div>
            <Button onClick={() => setAsked({ what: 'renew' })}>{words.renew}</Button>
          </li>
        )}
      </ul>
      {asked?.what === 'totp' && <NewApp setup={asked.setup} onDone={added} onClose={close} />}
      {asked?.what === 'passkey' && <NewPasskey onDone={added} onClose={close} />}
      {asked?.what === 'codes' && <Codes codes={asked.codes} onClose={close} />}
      {asked?.what === 'removeTotp' && (
        <ConfirmRemoval
          title={words.removeAppTitle}
          text={words.removeText}
          action={words.remove}
          done={words.appRemoved}
          remove={removeTotp}
          onClose={close}
        />
      )}
      {asked?.what === 'removePasskey' && (
        <ConfirmRemoval
          title={words.removePasskeyTitle(asked.name)}
          text={words.removeText}
          action={words.remove}
          done={words.passkeyRemoved(asked.name)}
          remove={() => removePasskey(asked.id)}
          onClose={close}
        />
      )}
      {asked?.what === 'renew' && (
        <Dialog title={words.renewTitle} onClose={close}>
          <p>{words.renewText}</p>
          <div className={css.actions}>
            <Button data-first onClick={close}>
              {t.ui.cancel}
            </Button>
            <Button look="primary" disabled={renew.isPending} onClick={() => renew.mutate()}>
              {words.renew}
            </Button>
          </div>
        </Dialog>
      )}
    </>
  );
}

/** Why this page cannot make a passkey, if so. */
function whyNoPasskeys({ passkeyHost, noPasskeys }: Factor): string | undefined {
  if (!passkeyHost) return noPasskeys ? words.noPasskeys(noPasskeys) : words.noPasskeys('');
  if (!isSupported()) return words.browserHasNone;
  return canUsePasskeys(passkeyHost) ? undefined : words.otherHost(passkeyHost);
}

function NewApp({
  setup,
  onDone,
  onClose,
}: {
  setup: TotpSetup;
  onDone: (codes: readonly string[] | undefined) => void;
  onClose: () => void;
}) {
  const [code, setCode] = useState('');
  const finish = useMutation({
    mutationFn: () => finishTotp(setup.token, code),
    onSuccess: (codes) => {
      say(words.appAdded);
      onDone(codes);
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!finish.isPending) finish.mutate();
  };
  return (
    <Dialog title={words.addApp} onClose={onClose}>
      <form className={css.dialogForm} onSubmit={submit}>
        <p>{words.scan}</p>
        <svg
          className={css.qr}
          role="img"
          aria-label={words.qr}
          viewBox={`0 0 ${setup.qr.size} ${setup.qr.size}`}
          shapeRendering="crispEdges"
        >
          <path d={setup.qr.path} />
        </svg>
        <Field
          label={words.secret}
          className={css.secret}
          value={setup.secret}
          readOnly
          onFocus={(event) => event.target.select()}
        />
        <Field
          label={words.code}
          autoComplete="one-time-code"
          inputMode="numeric"
          required
          data-first
          value={code}
          hint={words.codeHint}
          error={finish.isError ? messageOf(finish.error) : undefined}
          onChange={(event) => setCode(event.target.value)}
        />
        <div className={css.actions}>
          <Button onClick={onClose}>{t.ui.cancel}</Button>
          <Button look="primary" type="submit" disabled={finish.isPending}>
            {words.finish}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

function NewPasskey({
  onDone,
  onClose,
}: {
  onDone: (codes: readonly string[] | undefined) => void;
  onClose: () => void;
}) {
  const [name, setName] = useState('');
  const add = useMutation({
    mutationFn: () => addPasskey(name),
    onSuccess: (codes) => {
      say(words.passkeyAdded);
      onDone(codes);
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!add.isPending) add.mutate();
  };
  return (
    <Dialog title={words.addPasskey} onClose={onClose}>
      <form className={css.dialogForm} onSubmit={submit}>
        <Field
          label={words.passkeyName}
          autoComplete="off"
          required
          data-first
          value={name}
          hint={words.passkeyNameHint}
          error={add.isError ? messageOf(add.error) : undefined}
          onChange={(event) => setName(event.target.value)}
        />
        <div className={css.actions}>
          <Button onClick={onClose}>{t.ui.cancel}</Button>
          <Button look="primary" type="submit" disabled={add.isPending}>
            {words.addPasskey}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

function Codes({ codes, onClose }: { codes: readonly string[]; onClose: () => void }) {
  const [outcome, setOutcome] = useState('');
  const copy = () =>
    navigator.clipboard.writeText(`${codes.join('\n')}\n`).then(
      () => setOutcome(t.settings.tokens.copied),
      () => setOutcome(t.settings.tokens.notCopied),
    );
  return (
    // A click beside it, or Escape, would lose them for good: only the button closes.
    <Dialog title={words.codesTitle} onClose={onClose} isClosable={false}>
      <p>{words.codesText}</p>
      <ul className={css.codes} aria-label={words.codes}>
        {codes.map((code) => (
          <li key={code}>
            <code>{code}</code>
          </li>
        ))}
      </ul>
      <p className={css.hint} role="status">
        {outcome}
      </p>
      <div className={css.actions}>
        <Button icon="copy" onClick={copy}>
          {t.settings.tokens.copy}
        </Button>
        <Button look="primary" data-first onClick={onClose}>
          {words.codesKept}
        </Button>
      </div>
    </Dialog>
  );
}
