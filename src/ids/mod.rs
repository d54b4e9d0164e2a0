//! Identifiers, parsed once at the system's boundary. `Debug` shows a stub, so that no complete SID is logged
//! by accident; `as_str` returns the complete text.

pub mod user_name;

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The error for a text that is not a Twilio SID of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {prefix} followed by 32 hexadecimal digits, got {length} characters")]
pub struct SidError {
    prefix: &'static str,
    length: usize,
}

macro_rules! sid {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $pattern:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schema(value_type = String, pattern = $pattern)]
        pub struct $name(String);

        impl $name {
            /// Regular expression of valid SIDs.
            pub const PATTERN: &'static str = $pattern;

            /// Parses the two-letter prefix and 32 hexadecimal digits.
            pub fn parse(text: &str) -> Result<Self, SidError> {
                let digits = text.strip_prefix($prefix);
                match digits {
                    Some(d) if d.len() == 32 && d.bytes().all(|b| b.is_ascii_hexdigit()) => {
                        Ok(Self(text.to_owned()))
                    }
                    _ => Err(SidError { prefix: $prefix, length: text.chars().count() }),
                }
            }

            /// Returns the complete SID.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Returns the prefix and the last four digits: enough to follow one call through a log.
            pub fn stub(&self) -> String {
                format!("{}…{}", $prefix, &self.0[self.0.len() - 4..])
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.stub())
            }
        }

        impl TryFrom<String> for $name {
            type Error = SidError;

            fn try_from(text: String) -> Result<Self, SidError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(sid: $name) -> Self {
                sid.0
            }
        }
    };
}

sid!(
    /// A call leg at Twilio, `CA…`.
    CallSid,
    "CA",
    "^CA[0-9a-fA-F]{32}$"
);
sid!(
    /// A Media Stream at Twilio, `MZ…`: one WebSocket.
    StreamSid,
    "MZ",
    "^MZ[0-9a-fA-F]{32}$"
);

sid!(
    /// An account at Twilio, `AC…`.
    AccountSid,
    "AC",
    "^AC[0-9a-fA-F]{32}$"
);

sid!(
    /// A key of Twilio's API, `SK…`; its secret signs access tokens.
    ApiKeySid,
    "SK",
    "^SK[0-9a-fA-F]{32}$"
);

sid!(
    /// A TwiML application at Twilio, `AP…`: it provides the instructions for browsers' calls.
    ApplicationSid,
    "AP",
    "^AP[0-9a-fA-F]{32}$"
);

sid!(
    /// A telephone number that the account owns at Twilio, `PN…`.
    PhoneNumberSid,
    "PN",
    "^PN[0-9a-fA-F]{32}$"
);

sid!(
    /// A recording at Twilio, `RE…`.
    RecordingSid,
    "RE",
    "^RE[0-9a-fA-F]{32}$"
);

sid!(
    /// A Real-Time Transcription at Twilio, `GT…`.
    TranscriptionSid,
    "GT",
    "^GT[0-9a-fA-F]{32}$"
);

/// The error for a text that is not a valid party of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PartyError {
    /// Not a telephone number in the international format.
    #[error("expected a telephone number such as +14155550123: a plus sign and 7 to 15 digits")]
    NotE164,
    /// Not an identity that Twilio's Voice SDK accepts.
    #[error("expected 1 to 121 letters, digits and underscores")]
    NotIdentity,
}

/// A telephone number in E.164 format: `+` and 7 to 15 digits, the first not 0. `Debug` shows a stub, and
/// there is no `Display`, so that no number is logged by accident.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String)]
pub struct E164(String);

impl E164 {
    /// Parses exactly this format: no spaces, no brackets.
    pub fn parse(text: &str) -> Result<Self, PartyError> {
        let digits = text.strip_prefix('+').ok_or(PartyError::NotE164)?;
        let fits = (7..=15).contains(&digits.len())
            && digits.bytes().all(|b| b.is_ascii_digit())
            && !digits.starts_with('0');
        let number = fits.then(|| Self(text.to_owned()));
        number.ok_or(PartyError::NotE164)
    }

    /// Returns the complete number.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+…{}", &self.0[self.0.len() - 2..])
    }
}

impl TryFrom<String> for E164 {
    type Error = PartyError;

    fn try_from(text: String) -> Result<Self, PartyError> {
        Self::parse(&text)
    }
}

impl From<E164> for String {
    fn from(number: E164) -> Self {
        number.0
    }
}

/// A browser's client identity at Twilio: 1 to 121 letters, digits and underscores; with any other character,
/// calls fail silently (<https://www.twilio.com/docs/api/errors/51003>).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String)]
pub struct ClientIdentity(String);

impl ClientIdentity {
    /// Parses an identity that Twilio accepts.
    pub fn parse(text: &str) -> Result<Self, PartyError> {
        let fits = (1..=121).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let identity = fits.then(|| Self(text.to_owned()));
        identity.ok_or(PartyError::NotIdentity)
    }

    /// Returns the complete identity.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the browser's user: the identity starts with `u42_` and [`SESSION_TAG_DIGITS`] hexadecimal
    /// digits. `None` for an identity that this server did not create.
    pub fn user(&self) -> Option<UserId> {
        let mut parts = self.0.strip_prefix('u')?.splitn(3, '_');
        let (number, tag) = (parts.next()?, parts.next()?);
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let user = number.parse::<u64>().ok()?;
        // Only the canonical spelling of the number is accepted.
        let ours =
            user.to_string() == number && tag.len() == SESSION_TAG_DIGITS && tag.bytes().all(hex);
        ours.then_some(UserId(user as i64))
    }
}

/// Number of hexadecimal digits in a [`ClientIdentity`] that identify the browser's session.
pub const SESSION_TAG_DIGITS: usize = 16;

impl TryFrom<String> for ClientIdentity {
    type Error = PartyError;

    fn try_from(text: String) -> Result<Self, PartyError> {
        Self::parse(&text)
    }
}

impl From<ClientIdentity> for String {
    fn from(identity: ClientIdentity) -> Self {
        identity.0
    }
}

/// The error for a text that is not a registration ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 16 to 64 letters, digits and hyphens, such as a UUID")]
pub struct RegistrationIdError;

/// Identifies one registration of a browser at Twilio. The page generates it at random: 16 to 64 letters,
/// digits and hyphens, such as a UUID.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String)]
pub struct RegistrationId(String);

impl RegistrationId {
    /// Parses an ID generated by a page.
    pub fn parse(text: &str) -> Result<Self, RegistrationIdError> {
        let fits = (16..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let id = fits.then(|| Self(text.to_owned()));
        id.ok_or(RegistrationIdError)
    }

    /// Returns the complete ID.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RegistrationId {
    type Error = RegistrationIdError;

    fn try_from(text: String) -> Result<Self, RegistrationIdError> {
        Self::parse(&text)
    }
}

impl From<RegistrationId> for String {
    fn from(id: RegistrationId) -> Self {
        id.0
    }
}

/// Identifies a user of this server permanently.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(transparent)]
pub struct UserId(pub i64);

/// One party's audio, named from Twilio's point of view on the leg that started the stream
/// (<https://www.twilio.com/docs/voice/twiml/stream>).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Track {
    /// Audio that Twilio receives from the party on this leg.
    Inbound,
    /// Audio that Twilio sends to the party on this leg.
    Outbound,
}

impl Track {
    /// Both tracks, in display order.
    pub const ALL: [Self; 2] = [Self::Inbound, Self::Outbound];

    /// Returns the track's name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

impl fmt::Display for Track {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Identifies a segment of a call permanently: its partials have the same ID. Unique within the call; opaque
/// to listeners.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct SegmentId(String);

impl SegmentId {
    /// Returns the ID of the `number`th utterance (from 1) of a track of the call's `stream`th stream (from
    /// 1).
    pub fn new(stream: u32, track: Track, number: u32) -> Self {
        Self(format!("{stream}-{track}-{number}"))
    }

    /// Returns the ID's text in JSON.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the index of its stream within the call, from 1; 0 for an ID that this server did not create.
    pub fn stream_number(&self) -> u32 {
        let number = self.0.split('-').next();
        number.and_then(|n| n.parse().ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SID: &str = "CA0123456789abcdef0123456789abcdEF";

    #[test]
    fn a_sid_is_its_prefix_and_32_hex_digits() {
        assert_eq!(CallSid::parse(SID).unwrap().as_str(), SID);
        for wrong in [
            "",
            "CA",
            "MZ0123456789abcdef0123456789abcdef",
            &SID[..33],
            "CA0123456789abcdef0123456789abcdeg",
        ] {
            assert!(CallSid::parse(wrong).is_err(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn debug_shows_a_stub() {
        assert_eq!(format!("{:?}", CallSid::parse(SID).unwrap()), "CA…cdEF");
    }

    #[test]
    fn a_segment_knows_its_stream() {
        assert_eq!(SegmentId::new(7, Track::Outbound, 3).stream_number(), 7);
        assert_eq!(SegmentId("other".to_owned()).stream_number(), 0);
    }

    #[test]
    fn a_number_is_international_and_its_debug_is_a_stub() {
        let number = E164::parse("+14155550123").unwrap();
        assert_eq!(number.as_str(), "+14155550123");
        assert_eq!(format!("{number:?}"), "+…23");
        for wrong in [
            "",
            "+",
            "14155550123",
            "+1 415 555 0123",
            "+0415555012",
            "+123456",
            "+1234567890123456",
            "+1415555012a",
            "+１４１５５５５０１２３",
        ] {
            assert_eq!(E164::parse(wrong), Err(PartyError::NotE164), "{wrong:?}");
        }
    }

    #[test]
    fn an_identity_is_what_the_voice_sdk_takes() {
        assert!(ClientIdentity::parse("alice_2").is_ok());
        assert!(ClientIdentity::parse(&"a".repeat(121)).is_ok());
        for wrong in ["", "al-ice", "a@b", "ä", &"a".repeat(122)] {
            let error = Err(PartyError::NotIdentity);
            assert_eq!(ClientIdentity::parse(wrong), error, "{wrong:?}");
        }
    }

    #[test]
    fn a_registration_is_named_by_something_like_a_uuid() {
        let uuid = "123e4567-e89b-12d3-a456-426614174000";
        assert_eq!(RegistrationId::parse(uuid).unwrap().as_str(), uuid);
        for wrong in ["", "too-short", "1234567890_12345", &"a".repeat(65)] {
            let error = Err(RegistrationIdError);
            assert_eq!(RegistrationId::parse(wrong), error, "{wrong:?}");
        }
    }

    #[test]
    fn json_refuses_what_parse_refuses() {
        assert!(serde_json::from_str::<CallSid>("\"CA12\"").is_err());
        let sid: CallSid = serde_json::from_str(&format!("\"{SID}\"")).unwrap();
        assert_eq!(serde_json::to_string(&sid).unwrap(), format!("\"{SID}\""));
    }
}
