//! Passkeys: key pairs in a user's device; the server stores the public half
//! (<https://www.w3.org/TR/webauthn-3/>). Each assertion states that the user was present and that
//! the device verified them (a finger, a face, a PIN), so that a passkey is two factors by itself.
//!
//! A passkey is bound to one host name, the relying party ID: that of the public base URL, or
//! `localhost`. An IP address cannot be one, and browsers require TLS except for `localhost`.

use std::fmt;
use std::net::SocketAddr;

use axum::http::Uri;
use serde_json::{Value, json};
use url::Url;
use webauthn_rs::prelude::{
    AuthenticationResult, DiscoverableAuthentication, Passkey, PasskeyAuthentication,
    PasskeyRegistration, PublicKeyCredential, RegisterPublicKeyCredential, Uuid, Webauthn,
    WebauthnBuilder, WebauthnError,
};

use crate::limits;

/// The name that the device shows beside the user's.
const RELYING_PARTY_NAME: &str = "CallBurner";

/// The relying party ID of a local-only server.
const LOCALHOST: &str = "localhost";

/// Creates challenges for passkeys, and verifies the answers.
pub struct PasskeyVerifier {
    host: String,
    webauthn: Webauthn,
}

impl fmt::Debug for PasskeyVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasskeyVerifier({})", self.host)
    }
}

/// Why this server offers no passkeys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasskeysUnavailable {
    /// A passkey is bound to a host name.
    #[error("passkeys need a host name: PUBLIC_BASE_URL is an IP address")]
    Address,
    /// Browsers offer passkeys only to pages over https.
    #[error("passkeys need https: PUBLIC_BASE_URL starts with http")]
    NotHttps,
    /// The URL's host cannot be parsed.
    #[error("passkeys need a PUBLIC_BASE_URL with a host name")]
    NoHost,
}

/// Why a passkey's answer is refused.
#[derive(Debug, thiserror::Error)]
pub enum PasskeyError {
    /// The answer is not the JSON that browsers send.
    #[error("the passkey's answer cannot be read: {0}")]
    Unreadable(serde_json::Error),
    /// The signature, the host, the challenge, or the user's verification is wrong.
    #[error("the passkey's answer is wrong: {0}")]
    Refused(WebauthnError),
    /// The stored passkey cannot be parsed.
    #[error("a stored passkey cannot be read: {0}")]
    Damaged(serde_json::Error),
}

/// A pending registration of a new passkey.
#[derive(Debug)]
pub struct RegistrationChallenge {
    state: PasskeyRegistration,
    /// The id of the user on the user's devices.
    pub user_handle: [u8; 16],
}

/// A challenge to an existing passkey.
#[derive(Debug)]
pub enum PasskeyChallenge {
    /// For the passkeys of one user.
    Known(PasskeyAuthentication),
    /// For any passkey that the device has for this host.
    Any(DiscoverableAuthentication),
}

/// A new passkey, to be stored.
#[derive(Debug)]
pub struct PasskeyCredential {
    /// The credential id.
    pub id: Vec<u8>,
    /// JSON of the public key and the other data that verify an assertion.
    pub json: String,
}

/// A browser's answer to a [`PasskeyChallenge`].
#[derive(Debug)]
pub struct PasskeyAssertion(PublicKeyCredential);

impl PasskeyAssertion {
    /// Parses the result of the browser's `PublicKeyCredential.toJSON`.
    pub fn parse(answer: Value) -> Result<Self, PasskeyError> {
        let read = serde_json::from_value(answer);
        read.map(Self).map_err(PasskeyError::Unreadable)
    }

    /// Returns the credential id.
    pub fn credential_id(&self) -> &[u8] {
        &self.0.raw_id
    }

    /// Returns the user handle, if the answer contains it.
    pub fn user_handle(&self) -> Option<&[u8]> {
        self.0.response.user_handle.as_deref()
    }
}

impl PasskeyVerifier {
    /// Creates a verifier for a server at `public_base_url`, or, without one, for a local-only
    /// server at `address`.
    pub fn of(
        public_base_url: Option<&Uri>,
        address: SocketAddr,
    ) -> Result<Self, PasskeysUnavailable> {
        let origin = match public_base_url {
            Some(uri) => uri.to_string(),
            None => format!("http://{LOCALHOST}:{}", address.port()),
        };
        let origin = Url::parse(&origin).map_err(|_| PasskeysUnavailable::NoHost)?;
        let Some(host) = origin.domain().map(str::to_owned) else {
            let is_address = origin.host().is_some();
            return Err(if is_address {
                PasskeysUnavailable::Address
            } else {
                PasskeysUnavailable::NoHost
            });
        };
        if origin.scheme() != "https" && host != LOCALHOST {
            return Err(PasskeysUnavailable::NotHttps);
        }
        let webauthn = WebauthnBuilder::new(&host, &origin)
            .map_err(|_| PasskeysUnavailable::NoHost)?
            .rp_name(RELYING_PARTY_NAME)
            .timeout(limits::SECOND_FACTOR_WAIT_MAX)
            // The port on one's own machine has no meaning.
            .allow_any_port(host == LOCALHOST)
            .build()
            .map_err(|_| PasskeysUnavailable::NoHost)?;
        Ok(Self { host, webauthn })
    }

    /// Returns the host name that passkeys are bound to.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Starts a registration. Returns the options for the browser, and the challenge to keep.
    /// `stored` are the user's existing passkeys, so that no device creates a second one.
    pub fn begin_registration(
        &self,
        user_name: &str,
        user_handle: Option<[u8; 16]>,
        stored: &[&str],
    ) -> Result<(Value, RegistrationChallenge), PasskeyError> {
        let handle = user_handle.map_or_else(Uuid::new_v4, Uuid::from_bytes);
        let known: Result<Vec<Passkey>, PasskeyError> =
            stored.iter().map(|stored| parse_passkey(stored)).collect();
        let known = known?.into_iter().map(|passkey| passkey.cred_id().clone());
        let begun = self.webauthn.start_passkey_registration(
            handle,
            user_name,
            user_name,
            Some(known.collect()),
        );
        let (options, state) = begun.map_err(PasskeyError::Refused)?;
        let mut options = json!(options);
        // Enables sign-in without typing a name, if the device has storage for the name.
        options["publicKey"]["authenticatorSelection"]["residentKey"] = json!("preferred");
        let user_handle = handle.into_bytes();
        Ok((options, RegistrationChallenge { state, user_handle }))
    }

    /// Verifies the passkey that the browser has created. Returns the credential to store.
    pub fn finish_registration(
        &self,
        answer: Value,
        begun: &RegistrationChallenge,
    ) -> Result<PasskeyCredential, PasskeyError> {
        let answer: RegisterPublicKeyCredential =
            serde_json::from_value(answer).map_err(PasskeyError::Unreadable)?;
        let registered = self
            .webauthn
            .finish_passkey_registration(&answer, &begun.state);
        let passkey = registered.map_err(PasskeyError::Refused)?;
        Ok(PasskeyCredential {
            id: passkey.cred_id().clone(),
            json: serialize_passkey(&passkey),
        })
    }

    /// Starts an authentication with one of a user's passkeys. Returns the options for the browser,
    /// and the challenge to keep.
    pub fn begin_authentication(
        &self,
        stored: &[&str],
    ) -> Result<(Value, PasskeyChallenge), PasskeyError> {
        let known: Result<Vec<Passkey>, PasskeyError> =
            stored.iter().map(|stored| parse_passkey(stored)).collect();
        let begun = self.webauthn.start_passkey_authentication(&known?);
        let (options, state) = begun.map_err(PasskeyError::Refused)?;
        Ok((json!(options), PasskeyChallenge::Known(state)))
    }

    /// Starts an authentication with any passkey that the device has for this host.
    pub fn begin_discoverable_authentication(
        &self,
    ) -> Result<(Value, PasskeyChallenge), PasskeyError> {
        let begun = self.webauthn.start_discoverable_authentication();
        let (mut options, state) = begun.map_err(PasskeyError::Refused)?;
        // The page asks for the passkey on a click, not while the user types (conditional
        // mediation).
        options.mediation = None;
        Ok((json!(options), PasskeyChallenge::Any(state)))
    }

    /// Verifies `answer`. Returns the updated credential to store.
    pub fn finish_authentication(
        &self,
        answer: &PasskeyAssertion,
        challenge: PasskeyChallenge,
        stored: &str,
    ) -> Result<String, PasskeyError> {
        let mut passkey: Passkey = parse_passkey(stored)?;
        let result: Result<AuthenticationResult, WebauthnError> = match challenge {
            PasskeyChallenge::Known(state) => self
                .webauthn
                .finish_passkey_authentication(&answer.0, &state),
            PasskeyChallenge::Any(state) => {
                let webauthn = &self.webauthn;
                webauthn.finish_discoverable_authentication_v2(&answer.0, state, &passkey)
            }
        };
        let result = result.map_err(PasskeyError::Refused)?;
        match passkey.update_credential(&result) {
            Some(_) => Ok(serialize_passkey(&passkey)),
            None => Err(PasskeyError::Refused(WebauthnError::CredentialNotFound)),
        }
    }
}

fn parse_passkey(stored: &str) -> Result<Passkey, PasskeyError> {
    serde_json::from_str(stored).map_err(PasskeyError::Damaged)
}

fn serialize_passkey(passkey: &Passkey) -> String {
    serde_json::to_string(passkey).expect("a passkey serialises to JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(url: &str) -> Result<String, PasskeysUnavailable> {
        let url: Uri = url.parse().unwrap();
        let local = ([127, 0, 0, 1], 4_000).into();
        PasskeyVerifier::of(Some(&url), local).map(|passkeys| passkeys.host)
    }

    #[test]
    fn passkeys_belong_to_a_host_name_and_want_tls() {
        assert_eq!(
            at("https://calls.example.org").as_deref(),
            Ok("calls.example.org")
        );
        assert_eq!(
            at("https://calls.example.org:8443/").as_deref(),
            Ok("calls.example.org")
        );
        assert_eq!(at("http://localhost:4000").as_deref(), Ok("localhost"));
        assert_eq!(at("https://192.0.2.7"), Err(PasskeysUnavailable::Address));
        assert_eq!(
            at("https://[2001:db8::7]"),
            Err(PasskeysUnavailable::Address)
        );
        assert_eq!(
            at("http://calls.example.org"),
            Err(PasskeysUnavailable::NotHttps)
        );
        let local = PasskeyVerifier::of(None, ([127, 0, 0, 1], 4_000).into()).unwrap();
        assert_eq!(local.host(), "localhost");
    }

    #[test]
    fn a_new_passkey_is_asked_to_name_its_user_and_to_verify() {
        let passkeys = PasskeyVerifier::of(None, ([127, 0, 0, 1], 4_000).into()).unwrap();
        let (options, begun) = passkeys.begin_registration("ada", None, &[]).unwrap();
        let selection = &options["publicKey"]["authenticatorSelection"];
        assert_eq!(selection["residentKey"], "preferred");
        assert_eq!(selection["userVerification"], "required");
        assert_eq!(options["publicKey"]["rp"]["id"], "localhost");
        let (_, again) = passkeys
            .begin_registration("ada", Some(begun.user_handle), &[])
            .unwrap();
        assert_eq!(again.user_handle, begun.user_handle);
        let (any, _) = passkeys.begin_discoverable_authentication().unwrap();
        assert_eq!(any["publicKey"]["allowCredentials"], json!([]));
        assert_eq!(any["publicKey"]["userVerification"], "required");
        assert!(any.get("mediation").is_none());
    }

    #[test]
    fn what_no_browser_made_is_refused() {
        let passkeys = PasskeyVerifier::of(None, ([127, 0, 0, 1], 4_000).into()).unwrap();
        let (_, begun) = passkeys.begin_registration("ada", None, &[]).unwrap();
        for answer in [
            json!({}),
            json!([]),
            json!("x"),
            json!({ "id": "x", "rawId": "!" }),
        ] {
            let registered = passkeys.finish_registration(answer.clone(), &begun);
            assert!(
                matches!(registered, Err(PasskeyError::Unreadable(_))),
                "{registered:?}"
            );
            assert!(PasskeyAssertion::parse(answer).is_err());
        }
    }
}
