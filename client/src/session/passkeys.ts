/** Passkeys, as the browser makes and uses them. */
import { ApiError } from '../api/client';
import { t } from '../strings';

/** Whether this page, in this browser, can use passkeys that are good for `host`. */
export const canUsePasskeys = (host: string | null | undefined) =>
  host === window.location.hostname && isSupported();

/** Whether this browser reads what the server sends for it. */
export const isSupported = () =>
  typeof window.PublicKeyCredential === 'function' &&
  'parseCreationOptionsFromJSON' in window.PublicKeyCredential;

/** What the server sends, as JSON; the browser knows its shape. */
interface Options<T> {
  publicKey: T;
}

/** Makes a passkey; the answer for the server. */
export async function makePasskey(options: object): Promise<Record<string, never>> {
  const { publicKey } = options as Options<PublicKeyCredentialCreationOptionsJSON>;
  const parsed = PublicKeyCredential.parseCreationOptionsFromJSON(publicKey);
  return answered(() => navigator.credentials.create({ publicKey: parsed }));
}

/** Lets a passkey sign a challenge; the answer for the server. */
export async function signWithPasskey(options: object): Promise<Record<string, never>> {
  const { publicKey } = options as Options<PublicKeyCredentialRequestOptionsJSON>;
  const parsed = PublicKeyCredential.parseRequestOptionsFromJSON(publicKey);
  return answered(() => navigator.credentials.get({ publicKey: parsed }));
}

async function answered(ask: () => Promise<Credential | null>): Promise<Record<string, never>> {
  let credential: Credential | null;
  try {
    credential = await ask();
  } catch (cause) {
    const isKnown = cause instanceof DOMException && cause.name === 'InvalidStateError';
    throw notUsed(isKnown ? t.passkeys.known : t.passkeys.notUsed);
  }
  if (!(credential instanceof PublicKeyCredential)) throw notUsed(t.passkeys.notUsed);
  return credential.toJSON() as unknown as Record<string, never>;
}

const notUsed = (message: string) => new ApiError('passkey_not_used', message, 400);
