/** Creates and uses passkeys (WebAuthn). */
import { ApiError } from '../api/client';
import { t } from '../strings';

/** Whether this browser can use passkeys of `host` on this page. */
export const canUsePasskeys = (host: string | null | undefined) =>
  host === window.location.hostname && isSupported();

/** Whether this browser supports passkeys with JSON options. */
export const isSupported = () =>
  typeof window.PublicKeyCredential === 'function' &&
  'parseCreationOptionsFromJSON' in window.PublicKeyCredential;

/** The options of the server as JSON, which the browser parses. */
interface Options<T> {
  publicKey: T;
}

/** Creates a passkey; returns the credential for the server. */
export async function makePasskey(options: object): Promise<Record<string, never>> {
  const { publicKey } = options as Options<PublicKeyCredentialCreationOptionsJSON>;
  const parsed = PublicKeyCredential.parseCreationOptionsFromJSON(publicKey);
  return credentialOf(() => navigator.credentials.create({ publicKey: parsed }));
}

/** Signs a challenge with a passkey; returns the credential for the server. */
export async function signWithPasskey(options: object): Promise<Record<string, never>> {
  const { publicKey } = options as Options<PublicKeyCredentialRequestOptionsJSON>;
  const parsed = PublicKeyCredential.parseRequestOptionsFromJSON(publicKey);
  return credentialOf(() => navigator.credentials.get({ publicKey: parsed }));
}

async function credentialOf(ask: () => Promise<Credential | null>): Promise<Record<string, never>> {
  let credential: Credential | null;
  try {
    credential = await ask();
  } catch (cause) {
    const isDuplicate = cause instanceof DOMException && cause.name === 'InvalidStateError';
    throw notUsed(isDuplicate ? t.passkeys.known : t.passkeys.notUsed);
  }
  if (!(credential instanceof PublicKeyCredential)) throw notUsed(t.passkeys.notUsed);
  return credential.toJSON() as unknown as Record<string, never>;
}

const notUsed = (message: string) => new ApiError('passkey_not_used', message, 400);
