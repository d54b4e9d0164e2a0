//! Tests of `twilio/signature.rs`.

use super::*;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const UPGRADE: &str = "wss://callburner.example.com/ws/twilio/media";
struct SignatureVector {
    key: fn() -> SigningKey,
    url: &'static str,
    form: &'static [(&'static str, &'static str)],
    signature: &'static str,
}

impl SignatureVector {
    fn form(&self) -> Vec<(String, String)> {
        self.form
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }
}

const STATUS_FORM: &[(&str, &str)] = &[
    ("To", ""),
    ("AccountSid", "AC00000000000000000000000000000001"),
    ("ApiVersion", "2010-04-01"),
    ("CallDuration", "42"),
    ("CallSid", "CA00000000000000000000000000000001"),
    ("CallStatus", "completed"),
    ("CallbackSource", "call-progress-events"),
    ("Called", ""),
    ("Caller", "client:alice"),
    ("Direction", "inbound"),
    ("From", "client:alice"),
    ("SequenceNumber", "3"),
    ("Timestamp", "Sun, 22 Nov 2026 10:00:00 +0000"),
];

/// Computed by Twilio's own libraries (twilio-python 9.13.0 and twilio-node 6.2.0 agree); Twilio's
/// documentation also prints the first.
const VECTORS: &[SignatureVector] = &[
    SignatureVector {
        key: || SigningKey::auth_token("12345"),
        url: "https://example.com/myapp.php?foo=1&bar=2",
        form: &[
            ("To", "+18005551212"),
            ("Caller", "+14158675310"),
            ("Digits", "1234"),
            ("CallSid", "CA1234567890ABCDE"),
            ("From", "+14158675310"),
        ],
        signature: "L/OH5YylLD5NRKLltdqwSvS0BnU=",
    },
    SignatureVector {
        key: || SigningKey::auth_token("12345"),
        url: "https://mycompany.com/myapp.php?foo=1&bar=2",
        form: &[
            ("CallSid", "CA1234567890ABCDE"),
            ("Caller", "+14158675309"),
            ("Digits", "1234"),
            ("From", "+14158675309"),
            ("To", "+18005551212"),
        ],
        signature: "RSOYDt4T1cUTdK1PDd93/VVr8B8=",
    },
    SignatureVector {
        key: || SigningKey::auth_token(TOKEN),
        url: "https://callburner.example.com/api/calls/status",
        form: STATUS_FORM,
        signature: "eXMPd1D7aXPtNF1XcneOTXtgfsI=",
    },
    SignatureVector {
        key: || SigningKey::auth_token(TOKEN),
        url: "https://callburner.example.com:443/api/calls/status",
        form: STATUS_FORM,
        signature: "aFutuAYZDQGJkY9HYOS8TlupdOs=",
    },
    SignatureVector {
        key: || SigningKey::auth_token(TOKEN),
        url: "https://callburner.example.com/api/voice?CallSid=CA1&From=%2B14155550100&To=client%3Abob",
        form: &[],
        signature: "4o65+JGS+rIPKlylDswyfsl/jd8=",
    },
    SignatureVector {
        key: || SigningKey::auth_token(TOKEN),
        url: UPGRADE,
        form: &[],
        signature: "jBXy345IJTDIvsID7Ei8YeEcD8Q=",
    },
    SignatureVector {
        key: || SigningKey::auth_token(TOKEN),
        url: "https://callburner.example.com/ws/twilio/media",
        form: &[],
        signature: "7O/kcwyD+qDQ8HR2yJ0wEjSgGEU=",
    },
    SignatureVector {
        key: || SigningKey::auth_token(TOKEN),
        url: "https://callburner.example.com/api/dup",
        form: &[("X", "b"), ("X", "a")],
        signature: "C5aCmrWyt/VpKO4bq3H5rLlVmro=",
    },
    SignatureVector {
        key: || SigningKey::auth_token(TOKEN),
        url: "https://callburner.example.com/api/dup",
        form: &[("X", "a"), ("X", "a"), ("X", "b")],
        signature: "C5aCmrWyt/VpKO4bq3H5rLlVmro=",
    },
    SignatureVector {
        key: || SigningKey::auth_token(TOKEN),
        url: "https://callburner.example.com/api/dup",
        form: &[("X", "a")],
        signature: "JroOaAZoeBpJbt+3CiPrqQ9Um2o=",
    },
    SignatureVector {
        key: || SigningKey::auth_token(TOKEN),
        url: "https://callburner.example.com/h",
        form: &[
            ("b", "2"),
            ("B", "1"),
            ("a", "ü☎"),
            ("_", ""),
            ("A9", "x"),
            ("AA", "y"),
        ],
        signature: "aWZW9Nr33tU8NJKnNVRops1FETY=",
    },
    SignatureVector {
        key: || SigningKey::shared(TOKEN, SigningAlgorithm::HmacSha256),
        url: "https://callburner.example.com/i",
        form: &[("CallSid", "CA1"), ("CallStatus", "ringing")],
        signature: "1TvxzGLzsegZyJgImKtYzeewN2/Uj3fBK2oNtQKSSKM=",
    },
];

#[test]
fn twilios_own_vectors_come_out() {
    for vector in VECTORS {
        let SignatureVector {
            key,
            url,
            signature,
            ..
        } = *vector;
        let (key, form) = (key(), vector.form());
        assert_eq!(sign(&key, url, &form), signature, "{url}");
        assert_eq!(
            verify(&key, url, SignedPayload::Form(&form), signature),
            Ok(()),
            "{url}"
        );
    }
}

#[test]
fn any_change_breaks_the_signature() {
    for vector in VECTORS {
        let SignatureVector {
            key,
            url,
            signature,
            ..
        } = *vector;
        let (key, mut form) = (key(), vector.form());
        let wrong = Err(SignatureError::Mismatch);
        assert_eq!(
            verify(
                &key,
                &format!("{url}x"),
                SignedPayload::Form(&form),
                signature
            ),
            wrong
        );
        assert_eq!(
            verify(
                &SigningKey::auth_token("x"),
                url,
                SignedPayload::Form(&form),
                signature
            ),
            wrong
        );
        assert_eq!(
            verify(&key, url, SignedPayload::Form(&form), &signature[1..]),
            wrong
        );
        assert_eq!(verify(&key, url, SignedPayload::Form(&form), ""), wrong);
        form.push(("Extra".to_owned(), "1".to_owned()));
        assert_eq!(
            verify(&key, url, SignedPayload::Form(&form), signature),
            wrong
        );
    }
}

#[test]
fn a_form_is_signed_with_its_hash_and_not_another() {
    let vector = VECTORS.last().unwrap();
    assert_eq!(
        (vector.key)(),
        SigningKey::shared(TOKEN, SigningAlgorithm::HmacSha256)
    );
    let sha1 = SigningKey::auth_token(TOKEN);
    let wrong = Err(SignatureError::Mismatch);
    let form = vector.form();
    assert_eq!(
        verify(
            &sha1,
            vector.url,
            SignedPayload::Form(&form),
            vector.signature
        ),
        wrong
    );
}

#[test]
fn an_upgrade_may_be_signed_with_a_slash_or_a_port_but_not_as_https() {
    let key = SigningKey::auth_token(TOKEN);
    let accepts = |signed: &str, url: &str| {
        verify(&key, url, SignedPayload::None, &sign(&key, signed, &[])).is_ok()
    };
    for signed in [
        UPGRADE.to_owned(),
        format!("{UPGRADE}/"),
        UPGRADE.replace(".com", ".com:443"),
        format!("{}/", UPGRADE.replace(".com", ".com:443")),
    ] {
        assert!(accepts(&signed, UPGRADE), "{signed}");
        assert!(accepts(&signed, &format!("{UPGRADE}/")), "{signed}");
        assert!(
            accepts(&signed, &UPGRADE.replace(".com", ".com:443")),
            "{signed}"
        );
    }
    assert!(!accepts(&UPGRADE.replace("wss", "https"), UPGRADE));
    assert!(!accepts(&UPGRADE.replace("media", "other"), UPGRADE));
    assert!(accepts("wss://h/s/?a=1", "wss://h/s?a=1"));
    assert!(accepts("wss://h/", "wss://h"));
}

#[test]
fn a_webhook_keeps_its_path_to_the_slash() {
    let key = SigningKey::auth_token(TOKEN);
    let signature = sign(&key, "https://h/voice/", &[]);
    let wrong = Err(SignatureError::Mismatch);
    assert_eq!(
        verify(&key, "https://h/voice", SignedPayload::None, &signature),
        wrong
    );
}

#[test]
fn twilio_drops_ports_and_users_and_fragments_before_it_signs() {
    let key = SigningKey::auth_token(TOKEN);
    let signature = sign(&key, "https://h/voice?x=1", &[]);
    for url in [
        "https://h:8443/voice?x=1",
        "https://h:443/voice?x=1",
        "https://user:pass@h/voice?x=1",
        "https://h/voice?x=1#rc=2",
    ] {
        assert_eq!(
            verify(&key, url, SignedPayload::None, &signature),
            Ok(()),
            "{url}"
        );
    }
    let with_port = sign(&key, "https://h:8443/voice", &[]);
    assert_eq!(
        verify(
            &key,
            "https://h:8443/voice",
            SignedPayload::None,
            &with_port
        ),
        Ok(())
    );
}

#[test]
fn a_raw_body_is_held_to_the_hash_in_its_url() {
    let key = SigningKey::auth_token(TOKEN);
    let body = br#"{"property": "value", "boolean": true}"#;
    let url = "https://callburner.example.com/api/x?bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620";
    let signature = "pHHH79HlkhtOVLpX1aJnxHVfNpE=";
    assert_eq!(
        verify(&key, url, SignedPayload::Raw(body), signature),
        Ok(())
    );
    let changed = Err(SignatureError::BodyMismatch);
    assert_eq!(
        verify(&key, url, SignedPayload::Raw(b"{}"), signature),
        changed
    );
    let bare = "https://callburner.example.com/api/x";
    let unsigned = Err(SignatureError::NoBodyHash);
    assert_eq!(
        verify(&key, bare, SignedPayload::Raw(body), &sign(&key, bare, &[])),
        unsigned
    );
}

#[test]
fn settings_name_the_key_and_the_hash() {
    let settings = SignatureSettings::parse("key=SH1,algorithm=HMAC_SHA256").unwrap();
    assert_eq!(
        (settings.key_id.as_str(), settings.algorithm),
        ("SH1", SigningAlgorithm::HmacSha256)
    );
    let settings = SignatureSettings::parse(" algorithm = HMAC_SHA1 , key = SH2, new=1").unwrap();
    assert_eq!(
        (settings.key_id.as_str(), settings.algorithm),
        ("SH2", SigningAlgorithm::HmacSha1)
    );
    for (header, error) in [
        (
            "key=SH1,algorithm=HMAC_MD5",
            SignatureError::UnknownAlgorithm,
        ),
        ("key=SH1", SignatureError::UnreadableSettings),
        ("algorithm=HMAC_SHA1", SignatureError::UnreadableSettings),
        ("", SignatureError::UnreadableSettings),
    ] {
        assert_eq!(SignatureSettings::parse(header), Err(error), "{header}");
    }
}

#[test]
fn a_key_does_not_show_its_secret() {
    assert!(!format!("{:?}", SigningKey::auth_token(TOKEN)).contains(TOKEN));
}

/// Verifies a request with this form by `keys`, signed with `key`.
fn ask(
    keys: &Keyring,
    key: &SigningKey,
    settings: Option<&str>,
) -> Result<VerifiedKey, SignatureError> {
    let form = [("CallSid".to_owned(), "CA1".to_owned())];
    let signature = sign(key, "https://h/voice", &form);
    let payload = SignedPayload::Form(&form);
    keys.verify("https://h/voice", payload, Some(&signature), settings)
}

#[test]
fn both_auth_tokens_count_while_they_are_rotated() {
    let (old, new) = (SigningKey::auth_token("old"), SigningKey::auth_token("new"));
    let keys = Keyring::new("new").unwrap();
    assert_eq!(ask(&keys, &new, None), Ok(VerifiedKey::Primary));
    assert_eq!(ask(&keys, &old, None), Err(SignatureError::Mismatch));
    let keys = keys.with_secondary("old").unwrap();
    assert_eq!(ask(&keys, &new, None), Ok(VerifiedKey::Primary));
    assert_eq!(ask(&keys, &old, None), Ok(VerifiedKey::Secondary));
    let neither = ask(&keys, &SigningKey::auth_token("other"), None);
    assert_eq!(neither, Err(SignatureError::Mismatch));
}

#[test]
fn a_shared_key_counts_only_where_it_is_named() {
    let keys = Keyring::new(TOKEN).unwrap();
    let keys = keys.with_shared("SH1", "shared").unwrap();
    let named = Some("key=SH1,algorithm=HMAC_SHA256");
    let sha256 = SigningKey::shared("shared", SigningAlgorithm::HmacSha256);
    let sha1 = SigningKey::shared("shared", SigningAlgorithm::HmacSha1);
    let token = SigningKey::auth_token(TOKEN);
    let shared = Ok(VerifiedKey::Shared("SH1".to_owned()));
    assert_eq!(ask(&keys, &sha256, named), shared);
    let by_sha1 = Some("key=SH1,algorithm=HMAC_SHA1");
    assert_eq!(ask(&keys, &sha1, by_sha1), shared);
    assert_eq!(ask(&keys, &token, Some("")), Ok(VerifiedKey::Primary));
    for (key, settings, error) in [
        (&sha1, named, SignatureError::Mismatch),
        (&token, named, SignatureError::Mismatch),
        (&sha256, None, SignatureError::Mismatch),
        (
            &sha256,
            Some("key=SH2,algorithm=HMAC_SHA256"),
            SignatureError::UnknownKey,
        ),
        (
            &sha256,
            Some("key=SH1,algorithm=HMAC_SHA512"),
            SignatureError::UnknownAlgorithm,
        ),
        (&sha256, Some("SH1"), SignatureError::UnreadableSettings),
    ] {
        assert_eq!(ask(&keys, key, settings), Err(error), "{settings:?}");
    }
}

#[test]
fn a_changed_body_is_named_whichever_token_signed() {
    let url = format!("https://h/x?bodySHA256={}", "0".repeat(64));
    for token in ["new", "old"] {
        let keys = Keyring::new("new").unwrap().with_secondary("old").unwrap();
        let signature = sign(&SigningKey::auth_token(token), &url, &[]);
        assert_eq!(
            keys.verify(&url, SignedPayload::Raw(b"{}"), Some(&signature), None),
            Err(SignatureError::BodyMismatch),
            "{token}"
        );
    }
}

#[test]
fn no_signature_and_no_secret_are_not_let_through() {
    let keys = Keyring::new(TOKEN).unwrap();
    let missing = keys.verify("https://h/voice", SignedPayload::None, None, None);
    assert_eq!(missing, Err(SignatureError::Missing));
    assert_eq!(Keyring::new(" ").unwrap_err(), EmptySecret);
    assert_eq!(keys.clone().with_secondary("").unwrap_err(), EmptySecret);
    assert_eq!(keys.with_shared("SH1", "").unwrap_err(), EmptySecret);
}

#[test]
fn a_keyring_shows_no_secret() {
    let keys = Keyring::new("hidden1").unwrap();
    let keys = keys.with_secondary("hidden2").unwrap();
    let keys = keys.with_shared("SH1", "hidden3").unwrap();
    assert!(!format!("{keys:?}").contains("hidden"));
}
