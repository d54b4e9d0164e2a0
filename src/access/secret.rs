//! Secrets that this server generates: 256 random bits, as text that fits a URL, a header and a
//! cookie. Only the SHA-256 of a secret is stored, so that the database's content authenticates no
//! one; a slow hash, as for passwords, would add nothing to 256 random bits.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Random bytes of a secret.
const BYTES: usize = 32;

/// The prefix of API tokens, by which people and secret scanners recognise them.
pub const API_TOKEN_PREFIX: &str = "cb_";

/// The hash of a secret, as stored.
pub type SecretHash = [u8; 32];

/// A secret. `Debug` does not show it, and there is no `Display`.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Generates a secret for a cookie or a link.
    pub fn random() -> Self {
        Self::with_prefix("")
    }

    /// Generates an API token.
    pub fn api_token() -> Self {
        Self::with_prefix(API_TOKEN_PREFIX)
    }

    /// Parses the text of a [`random`](Self::random) secret. `None` when it is malformed, which
    /// saves a look-up.
    pub fn parse(text: &str) -> Option<Self> {
        Self::parse_with_prefix("", text)
    }

    /// Parses the text of an [`api_token`](Self::api_token). `None` when it is malformed.
    pub fn parse_api_token(text: &str) -> Option<Self> {
        Self::parse_with_prefix(API_TOKEN_PREFIX, text)
    }

    /// Returns the text. Callers show it to its owner only.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Returns the hash that is stored.
    pub fn hash(&self) -> SecretHash {
        Sha256::digest(self.expose()).into()
    }

    /// Compares with a hash in constant time. A look-up by hash in the database needs no such care:
    /// a client that does not know the secret cannot steer its hash.
    pub fn matches_hash(&self, hash: &SecretHash) -> bool {
        self.hash().ct_eq(hash).into()
    }

    fn with_prefix(prefix: &str) -> Self {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes).expect("the system has random numbers");
        Self(format!("{prefix}{}", BASE64.encode(bytes)).into())
    }

    fn parse_with_prefix(prefix: &str, text: &str) -> Option<Self> {
        let bytes = BASE64.decode(text.strip_prefix(prefix)?).ok()?;
        (bytes.len() == BYTES).then(|| Self(text.into()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_the_same_and_comes_back_as_it_went() {
        let [one, two] = [Secret::random(), Secret::random()];
        assert_ne!(one.expose(), two.expose());
        let back = Secret::parse(one.expose()).unwrap();
        assert!(back.matches_hash(&one.hash()) && !back.matches_hash(&two.hash()));

        let token = Secret::api_token();
        assert!(token.expose().starts_with("cb_") && token.expose().len() == 46);
        let back = Secret::parse_api_token(token.expose()).unwrap();
        assert_eq!(back.hash(), token.hash());
    }

    #[test]
    fn what_cannot_be_a_secret_is_none() {
        let session = Secret::random();
        let token = Secret::api_token();
        let long = session.expose().repeat(1_000);
        for wrong in [
            "",
            "cb_",
            &session.expose()[1..],
            &long,
            token.expose(),
            "ä",
        ] {
            assert!(Secret::parse(wrong).is_none(), "{wrong:?}");
        }
        assert!(Secret::parse_api_token(session.expose()).is_none());
    }

    #[test]
    fn debug_shows_nothing_of_it() {
        let secret = Secret::random();
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }
}
