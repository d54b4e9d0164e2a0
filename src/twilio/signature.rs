//! `X-Twilio-Signature`: verifies that a request was sent by Twilio, and signs requests as Twilio does. Pure:
//! no I/O.
//!
//! Sources: <https://www.twilio.com/docs/usage/security> and, for shared keys,
//! <https://www.twilio.com/docs/usage/webhooks/webhook-shared-keys>. The signed string is the URL, followed
//! for a form by each parameter's name and value in byte order of the names.
//!
//! Build the URL from [`PublicUrl`](super::public_url::PublicUrl) and the request's raw path and query, never
//! from its `Host` header. Servers call [`Keyring::verify`]; [`verify`] and [`sign`] are its parts, and
//! `twilio_sim` calls [`sign`].

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::Hmac;
use hmac::KeyInit;
use hmac::Mac;
use sha1::Sha1;
use sha2::Digest;
use sha2::Sha256;
use subtle::Choice;
use subtle::ConstantTimeEq;

/// The header that carries the signature.
pub const HEADER: &str = "x-twilio-signature";

/// The header that names the shared key of the signature, if any.
pub const SETTINGS_HEADER: &str = "x-twilio-webhooks-signature-settings";

/// The hash function of the HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// The hash for signatures by an auth token.
    HmacSha1,
    /// A hash that signatures by a shared key may use.
    HmacSha256,
}

/// A secret that Twilio and this server share. `Debug` redacts it.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey {
    secret: String,
    algorithm: SigningAlgorithm,
}

impl SigningKey {
    /// Creates a key from an auth token of the account that owns the call.
    pub fn auth_token(token: &str) -> Self {
        Self {
            secret: token.to_owned(),
            algorithm: SigningAlgorithm::HmacSha1,
        }
    }

    /// Creates a key from a shared key of the account's webhook settings, with the hash that
    /// [`SignatureSettings`] name.
    pub fn shared(secret: &str, algorithm: SigningAlgorithm) -> Self {
        Self {
            secret: secret.to_owned(),
            algorithm,
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({:?})", self.algorithm)
    }
}

/// The signed part of a request besides its URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignedPayload<'a> {
    /// No payload: a GET, or a WebSocket upgrade.
    None,
    /// Decoded fields of an `application/x-www-form-urlencoded` body, in any order.
    Form(&'a [(String, String)]),
    /// The raw body of any other type; the URL carries the body's hash as `bodySHA256`.
    Raw(&'a [u8]),
}

/// The reason for refusing a request's signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The request has no signature.
    #[error(
        "the request has no signature; if Twilio sent it, a proxy removes the header X-Twilio-Signature"
    )]
    Missing,
    /// The request is signed with a shared key that this server does not have.
    #[error("the request is signed with a shared key that is not configured on this server")]
    UnknownKey,
    /// The signature belongs to another URL, other fields, or another key.
    #[error(
        "the signature does not match: check that the public base URL is the one that Twilio calls, \
         and that the auth token is the primary one of the account that owns the call"
    )]
    Mismatch,
    /// The body is not a form, and the URL has no hash of it.
    #[error("the body is not a form, and the URL has no bodySHA256 to verify the body")]
    NoBodyHash,
    /// The body differs from the signed body.
    #[error("the body does not match the bodySHA256 in its URL")]
    BodyMismatch,
    /// The signature uses an unsupported hash.
    #[error("the signature settings name an algorithm that is neither HMAC_SHA1 nor HMAC_SHA256")]
    UnknownAlgorithm,
    /// The settings header is malformed.
    #[error("the signature settings header is not of the form key=…,algorithm=…")]
    UnreadableSettings,
}

/// The parsed header `X-Twilio-Webhooks-Signature-Settings`. Without the header, the key is the auth token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureSettings {
    /// Id of the shared key.
    pub key_id: String,
    /// Hash of the signature.
    pub algorithm: SigningAlgorithm,
}

impl SignatureSettings {
    /// Parses `key=<id>,algorithm=HMAC_SHA256`.
    pub fn parse(header: &str) -> Result<Self, SignatureError> {
        let mut key_id = None;
        let mut algorithm = None;
        for part in header.split(',') {
            match part
                .split_once('=')
                .map(|(name, value)| (name.trim(), value.trim()))
            {
                Some(("key", value)) => key_id = Some(value.to_owned()),
                Some(("algorithm", "HMAC_SHA1")) => algorithm = Some(SigningAlgorithm::HmacSha1),
                Some(("algorithm", "HMAC_SHA256")) => {
                    algorithm = Some(SigningAlgorithm::HmacSha256);
                }
                Some(("algorithm", _)) => return Err(SignatureError::UnknownAlgorithm),
                Some(_) | None => {}
            }
        }
        match (key_id, algorithm) {
            (Some(key_id), Some(algorithm)) => Ok(Self { key_id, algorithm }),
            _ => Err(SignatureError::UnreadableSettings),
        }
    }
}

/// All keys that Twilio may sign with for this server. `Debug` redacts the secrets.
#[derive(Debug, Clone)]
pub struct Keyring {
    primary: SigningKey,
    secondary: Option<SigningKey>,
    /// Secrets by key id.
    shared: BTreeMap<String, SharedKeySecret>,
}

/// The secret of a shared key; each request names its hash.
#[derive(Clone)]
struct SharedKeySecret(String);

impl fmt::Debug for SharedKeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedKeySecret(…)")
    }
}

/// The key that a request was signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerifiedKey {
    /// The primary auth token.
    Primary,
    /// The other auth token: the rotation is not finished.
    Secondary,
    /// The shared key with this id.
    Shared(String),
}

/// Error for an empty secret, which anyone could sign with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an empty secret protects nothing")]
pub struct EmptySecret;

impl Keyring {
    /// Creates a keyring with the account's primary auth token.
    pub fn new(primary: &str) -> Result<Self, EmptySecret> {
        let primary = SigningKey::auth_token(require_non_empty(primary)?);
        Ok(Self {
            primary,
            secondary: None,
            shared: BTreeMap::new(),
        })
    }

    /// Adds a second auth token: the secondary token before it is promoted, or the former primary token
    /// afterwards.
    pub fn with_secondary(mut self, token: &str) -> Result<Self, EmptySecret> {
        self.secondary = Some(SigningKey::auth_token(require_non_empty(token)?));
        Ok(self)
    }

    /// Adds a shared key of the account's webhook settings.
    pub fn with_shared(mut self, id: &str, secret: &str) -> Result<Self, EmptySecret> {
        let secret = SharedKeySecret(require_non_empty(secret)?.to_owned());
        self.shared.insert(id.to_owned(), secret);
        Ok(self)
    }

    /// Verifies that Twilio signed this request, and returns the key. `signature` and `settings` are the
    /// values of [`HEADER`] and [`SETTINGS_HEADER`]; for the other arguments see [`verify`]. The running time
    /// does not reveal which key nearly matched.
    pub fn verify(
        &self,
        url: &str,
        payload: SignedPayload<'_>,
        signature: Option<&str>,
        settings: Option<&str>,
    ) -> Result<VerifiedKey, SignatureError> {
        let signature = signature.ok_or(SignatureError::Missing)?;
        if let Some(settings) = settings.filter(|settings| !settings.trim().is_empty()) {
            let SignatureSettings { key_id, algorithm } = SignatureSettings::parse(settings)?;
            let secret = self.shared.get(&key_id).ok_or(SignatureError::UnknownKey)?;
            let key = SigningKey::shared(&secret.0, algorithm);
            return verify(&key, url, payload, signature).map(|()| VerifiedKey::Shared(key_id));
        }
        let primary = verify(&self.primary, url, payload, signature);
        let secondary = self.secondary.as_ref();
        let secondary = secondary.map(|key| verify(key, url, payload, signature));
        match (primary, secondary) {
            (Ok(()), _) => Ok(VerifiedKey::Primary),
            (Err(_), Some(Ok(()))) => Ok(VerifiedKey::Secondary),
            // The more specific error wins over a mismatch.
            (Err(SignatureError::Mismatch), Some(Err(error))) | (Err(error), _) => Err(error),
        }
    }
}

fn require_non_empty(secret: &str) -> Result<&str, EmptySecret> {
    let filled = !secret.trim().is_empty();
    filled.then_some(secret).ok_or(EmptySecret)
}

/// Returns the signature of exactly this URL and these fields, as Twilio writes it in the header.
pub fn sign(key: &SigningKey, url: &str, form: &[(String, String)]) -> String {
    let mut text = url.to_owned();
    // Sorted by name, then by value, each pair once.
    for (name, value) in form.iter().map(|(n, v)| (n, v)).collect::<BTreeSet<_>>() {
        text.push_str(name);
        text.push_str(value);
    }
    let secret = key.secret.as_bytes();
    match key.algorithm {
        SigningAlgorithm::HmacSha1 => {
            let mut mac =
                Hmac::<Sha1>::new_from_slice(secret).expect("HMAC takes a key of any length");
            mac.update(text.as_bytes());
            BASE64.encode(mac.finalize().into_bytes())
        }
        SigningAlgorithm::HmacSha256 => {
            let mut mac =
                Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
            mac.update(text.as_bytes());
            BASE64.encode(mac.finalize().into_bytes())
        }
    }
}

/// Verifies that Twilio signed this request. `url` is the whole public URL with the path and query as they
/// were on the wire, and with the scheme `wss` for a WebSocket upgrade. As Twilio's own validators and
/// documentation do, this also accepts signatures over the URL without its port or with the scheme's default
/// port, and for `wss` with a trailing `/` added or removed.
pub fn verify(
    key: &SigningKey,
    url: &str,
    payload: SignedPayload<'_>,
    signature: &str,
) -> Result<(), SignatureError> {
    let form = match payload {
        SignedPayload::Form(form) => form,
        SignedPayload::None | SignedPayload::Raw(_) => &[],
    };
    let mut fits = Choice::from(0);
    for spelling in url_variants(url) {
        fits |= sign(key, &spelling, form)
            .as_bytes()
            .ct_eq(signature.as_bytes());
    }
    if !bool::from(fits) {
        return Err(SignatureError::Mismatch);
    }
    // Checked after the signature, which covers the hash: without a valid signature, a sender learns nothing
    // from the difference.
    match payload {
        SignedPayload::None | SignedPayload::Form(_) => Ok(()),
        SignedPayload::Raw(body) => {
            let claimed = body_hash(url).ok_or(SignatureError::NoBodyHash)?;
            let mut actual = String::new();
            for byte in Sha256::digest(body) {
                write!(actual, "{byte:02x}").expect("a String takes any text");
            }
            let same = claimed
                .to_ascii_lowercase()
                .as_bytes()
                .ct_eq(actual.as_bytes());
            bool::from(same)
                .then_some(())
                .ok_or(SignatureError::BodyMismatch)
        }
    }
}

/// Returns the forms in which Twilio may have signed this URL.
fn url_variants(url: &str) -> BTreeSet<String> {
    let url = url.split('#').next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else {
        return BTreeSet::from([url.to_owned()]);
    };
    let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority_end);
    let host_and_port = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let host = match host_and_port.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => host_and_port,
    };
    let standard_port = if matches!(scheme, "http" | "ws") {
        80
    } else {
        443
    };
    let mut paths = vec![path.to_owned()];
    if matches!(scheme, "wss" | "ws") {
        let (path, query) = path.split_at(path.find('?').unwrap_or(path.len()));
        paths.push(match path.strip_suffix('/') {
            Some(shorter) => format!("{shorter}{query}"),
            None => format!("{path}/{query}"),
        });
    }
    let hosts = [
        host_and_port.to_owned(),
        host.to_owned(),
        format!("{host}:{standard_port}"),
    ];
    hosts
        .iter()
        .flat_map(|host| {
            paths
                .iter()
                .map(move |path| format!("{scheme}://{host}{path}"))
        })
        .collect()
}

fn body_hash(url: &str) -> Option<&str> {
    let query = url.split('#').next()?.split_once('?')?.1;
    query
        .split('&')
        .find_map(|pair| pair.strip_prefix("bodySHA256="))
}

#[cfg(test)]
mod tests;
