//! Access tokens and client identities: the JWT that lets a browser connect to Twilio, and the name under
//! which Twilio knows the browser. Pure: no I/O.
//!
//! Sources: <https://www.twilio.com/docs/iam/access-tokens>, and for identities
//! <https://www.twilio.com/docs/voice/sdks/javascript/twiliodevice>. A token is a JWT, signed with
//! the secret of an API key (never with the auth token).
//!
//! Every tab of a signed-in browser has its own identity, so that two tabs of one user are two telephones.
//! Twilio sends the identity back as `From=client:…`, signed; [`session_of_identity`] parses the user and the
//! session from it. User names that the page sends are not trusted. A token cannot be revoked; but its
//! identity names a session, and calls from an identity of an ended session are refused.

use std::fmt;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use jsonwebtoken::EncodingKey;
use jsonwebtoken::Header;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use serde::Serialize;

use crate::clock::UtcTime;
use crate::ids::AccountSid;
use crate::ids::ApiKeySid;
use crate::ids::ApplicationSid;
use crate::ids::ClientIdentity;
use crate::ids::SESSION_TAG_DIGITS;
use crate::ids::UserId;
use crate::twilio::region::TwilioRegion;

/// Default lifetime of a token.
pub const LIFETIME: Duration = Duration::from_hours(1);

/// Longest lifetime that Twilio accepts. A token with a longer one fails in the browser with error 20104.
pub const LIFETIME_MAX: Duration = Duration::from_hours(24);

/// How far this machine's clock may be ahead of Twilio's before Twilio refuses a new token.
const CLOCK_SKEW: Duration = Duration::from_secs(30);

/// The `cty` header that marks a JWT as a Twilio access token.
const CONTENT_TYPE: &str = "twilio-fpa;v=1";

/// The JWT header parameter that names the region.
const REGION: &str = "twr";

/// Longest identity that Twilio accepts, in bytes.
const IDENTITY_BYTES_MAX: usize = 121;

/// The account and the API key that sign tokens.
#[derive(Debug, Clone)]
pub struct TokenKeys {
    /// The account that the tokens are for.
    pub account_sid: AccountSid,
    /// An API key of that account.
    pub api_key_sid: ApiKeySid,
    /// The API key's secret.
    pub secret: SecretString,
    /// The region of the key; `None`: Twilio's default region. Twilio refuses a token that names another
    /// region (error 20101).
    pub region: Option<TwilioRegion>,
}

/// The permissions of a token's bearer.
#[derive(Debug, Clone, Copy)]
pub struct VoiceGrant<'a> {
    /// The browser's identity.
    pub identity: &'a ClientIdentity,
    /// The TwiML application that handles the browser's calls; the token allows no other destination.
    pub application_sid: &'a ApplicationSid,
    /// Whether the browser may receive calls.
    pub incoming: bool,
}

/// An access token for one browser. `Debug` redacts it.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// The JWT, the argument of `new Device(…)`.
    pub jwt: String,
    /// Expiry time, in whole seconds.
    pub expires_at: UtcTime,
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccessToken(until {})", self.expires_at)
    }
}

/// Error of [`mint`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Twilio would refuse the lifetime.
    #[error("an access token lives from one second to 24 hours")]
    Lifetime,
}

/// Identifies a session among all sessions of its user: random, or the hash of a random value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionTag(pub u64);

/// Identifies a tab among all tabs of its session: random, or the hash of a random value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TabTag(pub u64);

#[derive(Serialize)]
struct TokenClaims<'a> {
    jti: String,
    iss: &'a str,
    sub: &'a str,
    nbf: i64,
    exp: i64,
    grants: TokenGrants<'a>,
}

#[derive(Serialize)]
struct TokenGrants<'a> {
    identity: &'a str,
    voice: VoiceClaim<'a>,
}

#[derive(Serialize)]
struct VoiceClaim<'a> {
    /// Omitted, not `false`, if incoming calls are not allowed, as in Twilio's libraries.
    #[serde(skip_serializing_if = "Option::is_none")]
    incoming: Option<IncomingClaim>,
    outgoing: OutgoingClaim<'a>,
}

#[derive(Serialize)]
struct IncomingClaim {
    allow: bool,
}

#[derive(Serialize)]
struct OutgoingClaim<'a> {
    application_sid: &'a str,
}

/// Signs a token that is valid for `ttl` from `now`; fractions of a second of `ttl` are dropped. The `jti`
/// differs between any two tokens of different milliseconds or identities.
///
/// An error if `ttl` is under one second or over [`LIFETIME_MAX`].
pub fn mint(
    keys: &TokenKeys,
    grant: &VoiceGrant<'_>,
    now: UtcTime,
    ttl: Duration,
) -> Result<AccessToken, TokenError> {
    if !(Duration::from_secs(1)..=LIFETIME_MAX).contains(&ttl) {
        return Err(TokenError::Lifetime);
    }
    let second = |at: UtcTime| at.millis().div_euclid(1_000);
    let exp = second(now) + ttl.as_secs() as i64;
    let (key, identity) = (keys.api_key_sid.as_str(), grant.identity.as_str());
    let claims = TokenClaims {
        jti: format!("{key}-{identity}-{}", now.millis()),
        iss: key,
        sub: keys.account_sid.as_str(),
        nbf: second(now.minus(CLOCK_SKEW)),
        exp,
        grants: TokenGrants {
            identity,
            voice: VoiceClaim {
                incoming: grant.incoming.then_some(IncomingClaim { allow: true }),
                outgoing: OutgoingClaim {
                    application_sid: grant.application_sid.as_str(),
                },
            },
        },
    };
    let mut header = Header::new(Algorithm::HS256);
    header.cty = Some(CONTENT_TYPE.to_owned());
    if let Some(region) = &keys.region {
        header.extras.insert(REGION, region.name());
    }
    let secret = EncodingKey::from_secret(keys.secret.expose_secret().as_bytes());
    let jwt = jsonwebtoken::encode(&header, &claims, &secret)
        .expect("these claims are plain JSON, and HMAC takes a key of any length");
    Ok(AccessToken {
        jwt,
        expires_at: UtcTime::from_millis(exp * 1_000),
    })
}

/// Returns the identity of a browser tab at Twilio: `u42_00c0ffee00c0ffee_0123456789abcdef_jo_example_org`;
/// without a `tab`, `u42_00c0ffee00c0ffee_jo_example_org`.
/// without a `tab`, `u42_00c0ffee00c0ffee_jo_example_org`.
/// The user's number and the tags make the identity unique, and [`session_of_identity`] parses the user and
/// the session from them. The name only helps people who read Twilio's console: its ASCII letters and digits
/// are kept, each run of other characters becomes one `_`, and the end is cut at Twilio's limit. Users with
/// names that map to the same text therefore have different identities.
pub fn identity_for(
    user: UserId,
    name: &str,
    session: SessionTag,
    tab: Option<TabTag>,
) -> ClientIdentity {
    // Unsigned, so that every number is written without a sign.
    let mut identity = format!(
        "u{}_{:0width$x}",
        user.0 as u64,
        session.0,
        width = SESSION_TAG_DIGITS
    );
    let tab = tab.map(|TabTag(tab)| format!("{tab:0SESSION_TAG_DIGITS$x}"));
    let words = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    for word in tab.as_deref().into_iter().chain(words) {
        identity.push('_');
        identity.push_str(word);
    }
    identity.truncate(IDENTITY_BYTES_MAX);
    ClientIdentity::parse(&identity)
        .expect("letters, digits and underscores, cut to Twilio's limit")
}

/// Returns the user of the browser; `None` for an identity that [`identity_for`] did not make.
pub fn user_of_identity(identity: &ClientIdentity) -> Option<UserId> {
    session_of_identity(identity).map(|(user, _)| user)
}

/// Returns the user of the browser and the session that the identity was issued in; `None` for an identity
/// that [`identity_for`] did not make.
pub fn session_of_identity(identity: &ClientIdentity) -> Option<(UserId, SessionTag)> {
    let user = identity.user()?;
    let tag = identity.as_str().split('_').nth(1)?;
    let tag = u64::from_str_radix(tag, 16).ok()?;
    Some((user, SessionTag(tag)))
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64_URL;
    use proptest::prelude::*;
    use serde_json::Value;
    use serde_json::json;

    use super::*;

    const SECRET: &str = "secret-secret-secret-secret-0123";

    fn keys() -> TokenKeys {
        TokenKeys {
            account_sid: AccountSid::parse("AC00000000000000000000000000000001").unwrap(),
            api_key_sid: ApiKeySid::parse("SK00000000000000000000000000000002").unwrap(),
            secret: SECRET.into(),
            region: None,
        }
    }

    fn application() -> ApplicationSid {
        ApplicationSid::parse("AP00000000000000000000000000000003").unwrap()
    }

    fn token(identity: &str, incoming: bool, now: UtcTime) -> AccessToken {
        let grant = VoiceGrant {
            identity: &ClientIdentity::parse(identity).unwrap(),
            application_sid: &application(),
            incoming,
        };
        mint(&keys(), &grant, now, LIFETIME).unwrap()
    }

    /// Returns the decoded header and payload.
    fn parts(token: &AccessToken) -> (Value, Value) {
        let mut parts = token.jwt.split('.').map(|part| {
            let json = BASE64_URL.decode(part).unwrap();
            serde_json::from_slice(&json).unwrap_or_default()
        });
        (parts.next().unwrap(), parts.next().unwrap())
    }

    #[test]
    fn a_token_says_what_twilios_libraries_say() {
        let now = UtcTime::from_millis(1_763_800_000_250);
        let token = token("alice", true, now);
        let (header, payload) = parts(&token);
        assert_eq!(
            header,
            json!({"alg": "HS256", "cty": "twilio-fpa;v=1", "typ": "JWT"})
        );
        assert_eq!(
            payload,
            json!({
                "jti": "SK00000000000000000000000000000002-alice-1763800000250",
                "iss": "SK00000000000000000000000000000002",
                "sub": "AC00000000000000000000000000000001",
                "nbf": 1_763_799_970, "exp": 1_763_803_600,
                "grants": {
                    "identity": "alice",
                    "voice": {
                        "incoming": {"allow": true},
                        "outgoing": {"application_sid": "AP00000000000000000000000000000003"},
                    },
                },
            })
        );
        assert_eq!(token.expires_at.millis(), 1_763_803_600_000);
    }

    #[test]
    fn a_token_names_the_region_of_its_key() {
        let keys = TokenKeys {
            region: TwilioRegion::parse(Some("ie1"), None).unwrap(),
            ..keys()
        };
        let grant = VoiceGrant {
            identity: &ClientIdentity::parse("alice").unwrap(),
            application_sid: &application(),
            incoming: true,
        };
        let token = mint(&keys, &grant, UtcTime::from_millis(0), LIFETIME).unwrap();
        assert_eq!(
            parts(&token).0,
            json!({"alg": "HS256", "cty": "twilio-fpa;v=1", "typ": "JWT", "twr": "ie1"})
        );
    }

    #[test]
    fn who_may_not_be_called_has_no_word_about_it() {
        let (_, payload) = parts(&token("alice", false, UtcTime::from_millis(0)));
        assert_eq!(payload["grants"]["voice"].get("incoming"), None);
    }

    #[test]
    fn each_moment_and_each_browser_has_its_own_token_id() {
        let id = |identity, ms| {
            let token = token(identity, true, UtcTime::from_millis(ms));
            parts(&token).1["jti"].clone()
        };
        assert_ne!(id("alice", 1_000), id("alice", 1_001));
        assert_ne!(id("alice", 1_000), id("bob", 1_000));
    }

    #[test]
    fn a_token_lives_no_longer_than_twilio_lets_it() {
        let identity = ClientIdentity::parse("alice").unwrap();
        let grant = VoiceGrant {
            identity: &identity,
            application_sid: &application(),
            incoming: true,
        };
        let mint = |ttl| mint(&keys(), &grant, UtcTime::from_millis(0), ttl);
        assert!(mint(LIFETIME_MAX).is_ok());
        for ttl in [
            Duration::ZERO,
            Duration::from_millis(999),
            LIFETIME_MAX + Duration::from_millis(1),
        ] {
            assert_eq!(mint(ttl), Err(TokenError::Lifetime), "{ttl:?}");
        }
    }

    #[test]
    fn nothing_shows_a_secret() {
        let token = token("alice", true, UtcTime::from_millis(0));
        let (shown, keys) = (format!("{token:?}"), format!("{:?}", keys()));
        assert!(!shown.contains(&token.jwt) && !keys.contains(SECRET));
    }

    #[test]
    fn an_identity_reads_like_its_user() {
        let tag = SessionTag(0xc0_ffee);
        for (name, identity) in [
            ("jo@example.org", "u42_0000000000c0ffee_jo_example_org"),
            ("Jürgen Müller", "u42_0000000000c0ffee_J_rgen_M_ller"),
            ("__", "u42_0000000000c0ffee"),
            ("李", "u42_0000000000c0ffee"),
            ("", "u42_0000000000c0ffee"),
        ] {
            let made = identity_for(UserId(42), name, tag, None);
            assert_eq!(made.as_str(), identity);
        }
        let tab = Some(TabTag(7));
        let made = identity_for(UserId(42), "Jo", tag, tab);
        assert_eq!(made.as_str(), "u42_0000000000c0ffee_0000000000000007_Jo");
    }

    #[test]
    fn an_identity_that_is_not_ours_names_no_user() {
        for identity in [
            "alice",
            "u",
            "u42",
            "u42_",
            "u_00c0ffee00c0ffee",
            "u042_00c0ffee00c0ffee",
            "u42_00c0ffee00c0ffe",
            "u42_00c0ffee00c0ffee0",
            "u42_00C0FFEE00C0FFEE",
            "u42_00c0ffee00c0ffeg_jo",
            "u18446744073709551616_00c0ffee00c0ffee",
            "U42_00c0ffee00c0ffee",
        ] {
            let parsed = ClientIdentity::parse(identity).unwrap();
            assert_eq!(user_of_identity(&parsed), None, "{identity}");
        }
    }

    proptest! {
        #[test]
        fn any_user_and_session_are_found_again_by_any_identity(
            user: i64,
            name: String,
            tag: u64,
            tab: Option<u64>,
        ) {
            let (user, tag) = (UserId(user), SessionTag(tag));
            let identity = identity_for(user, &name, tag, tab.map(TabTag));
            prop_assert_eq!(user_of_identity(&identity), Some(user));
            prop_assert_eq!(session_of_identity(&identity), Some((user, tag)));
        }

        #[test]
        fn sessions_never_share_an_identity(
            (user, other) in any::<(i64, i64)>(),
            (tag, other_tag) in any::<(u64, u64)>(),
            name: String,
            other_name: String,
        ) {
            prop_assume!((user, tag) != (other, other_tag));
            prop_assert_ne!(
                identity_for(UserId(user), &name, SessionTag(tag), None),
                identity_for(UserId(other), &other_name, SessionTag(other_tag), None)
            );
        }
    }
}
