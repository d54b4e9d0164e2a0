/** Creates an API token, and shows its secret once. */
import { useMutation } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { addToken } from '../account/requests';
import { messageOf } from '../api/client';
import type { Scope } from '../api/types';
import { t } from '../strings';
import { Button, Field, Select } from '../ui/controls';
import { Dialog } from '../ui/Dialog';
import { EXPIRY_DAYS, type ExpiryDays, expiresAt } from './expiry';
import css from './settings.module.css';

const words = t.settings.tokens;

const SCOPES: readonly Scope[] = ['calls:read', 'calls:write', 'metrics'];

const EXPIRIES = EXPIRY_DAYS.map((days) => ({
  value: String(days),
  label: words.expiries[days],
}));

export function NewToken({ isAdmin, onClose }: { isAdmin: boolean; onClose: () => void }) {
  const [name, setName] = useState('');
  const [scopes, setScopes] = useState<readonly Scope[]>(['calls:read']);
  const [days, setDays] = useState<ExpiryDays>(90);
  const add = useMutation({
    mutationFn: () =>
      addToken({
        name,
        scopes: [...scopes],
        expiresAt: expiresAt(days, new Date()),
        neverExpires: days === 0,
      }),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!add.isPending && scopes.length > 0) add.mutate();
  };
  if (add.data) return <Secret secret={add.data.secret} onClose={onClose} />;
  return (
    <Dialog title={words.add} onClose={onClose}>
      <form className={css.dialogForm} onSubmit={submit}>
        <Field
          label={words.name}
          autoComplete="off"
          required
          value={name}
          error={add.isError ? messageOf(add.error) : undefined}
          onChange={(event) => setName(event.target.value)}
        />
        <Scopes isAdmin={isAdmin} chosen={scopes} onChange={setScopes} />
        <Select
          label={words.expiry}
          value={String(days)}
          options={EXPIRIES}
          onChange={(value) => setDays(EXPIRY_DAYS.find((one) => String(one) === value) ?? 90)}
        />
        <div className={css.actions}>
          <Button onClick={onClose}>{t.ui.cancel}</Button>
          <Button look="primary" type="submit" disabled={add.isPending}>
            {words.create}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

function Scopes({
  isAdmin,
  chosen,
  onChange,
}: {
  isAdmin: boolean;
  chosen: readonly Scope[];
  onChange: (scopes: readonly Scope[]) => void;
}) {
  return (
    <fieldset className={css.checks}>
      <legend>{words.scopes}</legend>
      {SCOPES.filter((scope) => isAdmin || scope !== 'metrics').map((scope) => (
        <label key={scope}>
          <input
            type="checkbox"
            checked={chosen.includes(scope)}
            onChange={({ target }) =>
              onChange(
                target.checked ? [...chosen, scope] : chosen.filter((other) => other !== scope),
              )
            }
          />
          {words.scope[scope]}
        </label>
      ))}
      <p className={css.wrong} role="alert">
        {chosen.length === 0 && words.noScopes}
      </p>
    </fieldset>
  );
}

function Secret({ secret, onClose }: { secret: string; onClose: () => void }) {
  const [outcome, setOutcome] = useState('');
  const copy = () =>
    navigator.clipboard.writeText(secret).then(
      () => setOutcome(words.copied),
      () => setOutcome(words.notCopied),
    );
  return (
    // Only the button closes the dialog: the secret cannot be shown again.
    <Dialog title={words.secretTitle} onClose={onClose} isClosable={false}>
      <p>{words.secretText}</p>
      <div className={css.inline}>
        <Field
          label={words.secretLabel}
          value={secret}
          readOnly
          className={css.secret}
          onFocus={(event) => event.target.select()}
        />
        <Button look="primary" icon="copy" onClick={copy}>
          {words.copy}
        </Button>
      </div>
      <p className={css.hint} role="status">
        {outcome}
      </p>
      <div className={css.actions}>
        <Button onClick={onClose}>{words.done}</Button>
      </div>
    </Dialog>
  );
}
