/** The dialogs that add, remove and renew second factors. */
import { useMutation } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import {
  addPasskey,
  finishTotp,
  removePasskey,
  removeTotp,
  renewRecoveryCodes,
} from '../account/requests';
import { messageOf } from '../api/client';
import type { TotpSetup } from '../api/types';
import { t } from '../strings';
import { Button, Field } from '../ui/controls';
import { Dialog } from '../ui/Dialog';
import { showError, showToast } from '../ui/toasts';
import { ConfirmRemoval } from './ConfirmRemoval';
import css from './settings.module.css';

const words = t.settings.factor;

export type OpenDialog =
  | { type: 'app'; setup: TotpSetup }
  | { type: 'passkey' | 'removeApp' | 'renewCodes' }
  | { type: 'removePasskey'; id: number; name: string }
  | { type: 'codes'; codes: readonly string[] };

export function SecondFactorDialog({
  dialog,
  onOpen,
  onClose,
}: {
  dialog: OpenDialog;
  /** Opens another dialog in place of this one. */
  onOpen: (dialog: OpenDialog) => void;
  onClose: () => void;
}) {
  /** The first factor comes with recovery codes, which are shown next. */
  const onAdded = (codes: readonly string[] | undefined) =>
    codes ? onOpen({ type: 'codes', codes }) : onClose();
  switch (dialog.type) {
    case 'app':
      return <AppDialog setup={dialog.setup} onAdded={onAdded} onClose={onClose} />;
    case 'passkey':
      return <PasskeyDialog onAdded={onAdded} onClose={onClose} />;
    case 'codes':
      return <CodesDialog codes={dialog.codes} onClose={onClose} />;
    case 'renewCodes':
      return <RenewCodesDialog onRenewed={onAdded} onClose={onClose} />;
    case 'removeApp':
      return (
        <ConfirmRemoval
          title={words.removeAppTitle}
          text={words.removeText}
          action={words.remove}
          done={words.appRemoved}
          remove={removeTotp}
          onClose={onClose}
        />
      );
    case 'removePasskey':
      return (
        <ConfirmRemoval
          title={words.removePasskeyTitle(dialog.name)}
          text={words.removeText}
          action={words.remove}
          done={words.passkeyRemoved(dialog.name)}
          remove={() => removePasskey(dialog.id)}
          onClose={onClose}
        />
      );
  }
}

interface AddDialogProps {
  onAdded: (codes: readonly string[] | undefined) => void;
  onClose: () => void;
}

function AppDialog({ setup, onAdded, onClose }: AddDialogProps & { setup: TotpSetup }) {
  const [code, setCode] = useState('');
  const finish = useMutation({
    mutationFn: () => finishTotp(setup.token, code),
    onSuccess: (codes) => {
      showToast(words.appAdded);
      onAdded(codes);
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
        <QrCode qr={setup.qr} />
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

const QrCode = ({ qr: { size, path } }: { qr: TotpSetup['qr'] }) => (
  <svg
    className={css.qr}
    role="img"
    aria-label={words.qr}
    viewBox={`0 0 ${size} ${size}`}
    shapeRendering="crispEdges"
  >
    <path d={path} />
  </svg>
);

function PasskeyDialog({ onAdded, onClose }: AddDialogProps) {
  const [name, setName] = useState('');
  const add = useMutation({
    mutationFn: () => addPasskey(name),
    onSuccess: (codes) => {
      showToast(words.passkeyAdded);
      onAdded(codes);
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

function RenewCodesDialog({
  onRenewed,
  onClose,
}: {
  onRenewed: (codes: readonly string[]) => void;
  onClose: () => void;
}) {
  const renew = useMutation({
    mutationFn: renewRecoveryCodes,
    onSuccess: onRenewed,
    onError: (error) => showError(messageOf(error)),
  });
  return (
    <Dialog title={words.renewTitle} onClose={onClose}>
      <p>{words.renewText}</p>
      <div className={css.actions}>
        <Button data-first onClick={onClose}>
          {t.ui.cancel}
        </Button>
        <Button look="primary" disabled={renew.isPending} onClick={() => renew.mutate()}>
          {words.renew}
        </Button>
      </div>
    </Dialog>
  );
}

function CodesDialog({ codes, onClose }: { codes: readonly string[]; onClose: () => void }) {
  const [outcome, setOutcome] = useState('');
  const copy = () =>
    navigator.clipboard.writeText(`${codes.join('\n')}\n`).then(
      () => setOutcome(t.settings.tokens.copied),
      () => setOutcome(t.settings.tokens.notCopied),
    );
  return (
    // Only the button closes the dialog: the codes cannot be shown again.
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
