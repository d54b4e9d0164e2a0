//! An authenticator with a passkey, as a browser presents it: ES256, attestation `none`
//! (<https://www.w3.org/TR/webauthn-3/#sctn-op-make-cred>). Its output is built by hand, not by the library
//! that the server verifies it with.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Flag: the user is present.
const PRESENT: u8 = 0x01;

/// Flag: the user was verified.
const VERIFIED: u8 = 0x04;

/// Flag: a public key follows.
const WITH_KEY: u8 = 0x40;

/// An authenticator with one passkey.
pub(crate) struct Authenticator {
    key: SigningKey,
    id: Vec<u8>,
    user_handle: Option<Vec<u8>>,
    /// The origin of the page that uses it.
    pub(crate) origin: String,
    /// Signature counter.
    pub(crate) counter: u32,
    /// Whether it verifies the user, by a fingerprint or a PIN.
    pub(crate) verifies: bool,
}

fn encode(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).to_vec()
}

impl Authenticator {
    /// Creates an authenticator with its own key, derived from `number`.
    pub(crate) fn new(number: u8, origin: &str) -> Self {
        Self {
            key: SigningKey::from_slice(&[number; 32]).unwrap(),
            id: vec![number; 16],
            user_handle: None,
            origin: origin.to_owned(),
            counter: 0,
            verifies: true,
        }
    }

    /// Creates the passkey: `navigator.credentials.create`.
    pub(crate) fn create(&mut self, options: &Value) -> Value {
        let options = &options["publicKey"];
        let handle = options["user"]["id"].as_str().unwrap();
        self.user_handle = Some(BASE64.decode(handle).unwrap());
        let rp_id = options["rp"]["id"].as_str().unwrap();
        let client_data = self.client_data("webauthn.create", options);
        let mut data = self.data(rp_id, WITH_KEY);
        data.extend([0; 16]);
        data.extend((self.id.len() as u16).to_be_bytes());
        data.extend(&self.id);
        data.extend(self.cose_key());

        // {"fmt": "none", "attStmt": {}, "authData": data}
        let mut object = vec![0xa3];
        object.extend(b"\x63fmt\x64none\x67attStmt\xa0\x68authData\x58");
        object.push(u8::try_from(data.len()).unwrap());
        object.extend(data);
        json!({
            "id": encode(&self.id), "rawId": encode(&self.id), "type": "public-key",
            "response": {
                "attestationObject": encode(&object), "clientDataJSON": encode(&client_data),
                "transports": ["internal"],
            },
            "clientExtensionResults": {}, "authenticatorAttachment": "platform",
        })
    }

    /// Signs a challenge: `navigator.credentials.get`.
    pub(crate) fn get(&mut self, options: &Value) -> Value {
        let options = &options["publicKey"];
        self.counter += 1;
        let client_data = self.client_data("webauthn.get", options);
        let data = self.data(options["rpId"].as_str().unwrap(), 0);
        let signed = [data.clone(), sha256(&client_data)].concat();
        let signature: Signature = self.key.sign(&signed);
        json!({
            "id": encode(&self.id), "rawId": encode(&self.id), "type": "public-key",
            "response": {
                "authenticatorData": encode(&data), "clientDataJSON": encode(&client_data),
                "signature": encode(signature.to_der().as_bytes()),
                "userHandle": self.user_handle.as_deref().map(encode),
            },
            "clientExtensionResults": {},
        })
    }

    fn client_data(&self, kind: &str, options: &Value) -> Vec<u8> {
        let (challenge, origin) = (&options["challenge"], &self.origin);
        let data = json!({
            "type": kind, "challenge": challenge, "origin": origin, "crossOrigin": false
        });
        data.to_string().into_bytes()
    }

    fn data(&self, rp_id: &str, flags: u8) -> Vec<u8> {
        let verified = if self.verifies { VERIFIED } else { 0 };
        let mut data = sha256(rp_id.as_bytes());
        data.push(PRESENT | verified | flags);
        data.extend(self.counter.to_be_bytes());
        data
    }

    /// {1: 2 (EC2), 3: -7 (ES256), -1: 1 (P-256), -2: x, -3: y}
    fn cose_key(&self) -> Vec<u8> {
        let point = self.key.verifying_key().to_sec1_point(false);
        let (x, y) = (&point.as_bytes()[1..33], &point.as_bytes()[33..]);
        let mut key = b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20".to_vec();
        key.extend(x);
        key.extend(b"\x22\x58\x20");
        key.extend(y);
        key
    }
}
