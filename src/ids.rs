//! Names of things, parsed once at the edge. `Debug` shows a stub, so that a whole SID never
//! lands in a log by accident; `as_str` is the deliberate way to the text.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Text that is not a Twilio SID of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {prefix} followed by 32 hexadecimal digits, got {length} characters")]
pub struct SidError {
    prefix: &'static str,
    length: usize,
}

macro_rules! sid {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
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

            /// The whole SID.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// Prefix and last four digits: enough to follow one call through a log.
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
    "CA"
);
sid!(
    /// A Media Stream at Twilio, `MZ…`: one WebSocket.
    StreamSid,
    "MZ"
);

/// One party's audio, named from Twilio's point of view on the leg that started the stream
/// (<https://www.twilio.com/docs/voice/twiml/stream>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Track {
    /// What Twilio receives from the party on this leg.
    Inbound,
    /// What Twilio sends to the party on this leg.
    Outbound,
}

impl Track {
    /// Both tracks, in the order in which they are shown.
    pub const ALL: [Self; 2] = [Self::Inbound, Self::Outbound];

    /// The word on the wire.
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

/// Names one segment of one call for good: the partials that become it carry it already.
/// Unique within its call; opaque to listeners.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SegmentId(String);

impl SegmentId {
    /// The `number`th utterance (from 1) of a track of the call's `stream`th stream (from 1).
    pub fn new(stream: u32, track: Track, number: u32) -> Self {
        Self(format!("{stream}-{track}-{number}"))
    }

    /// The text on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
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
    fn json_refuses_what_parse_refuses() {
        assert!(serde_json::from_str::<CallSid>("\"CA12\"").is_err());
        let sid: CallSid = serde_json::from_str(&format!("\"{SID}\"")).unwrap();
        assert_eq!(serde_json::to_string(&sid).unwrap(), format!("\"{SID}\""));
    }
}
