//! Twilio's webhooks: parses forms into typed events. Pure: no I/O.
//!
//! Every webhook is a form. [`decode_form`] decodes it, the signature is verified over the decoded fields
//! ([`SignedPayload::Form`](super::signature::SignedPayload)), and then the event is parsed from them.
//! Parsing is lenient, as Twilio asks for (<https://www.twilio.com/docs/usage/webhooks/voice-webhooks>):
//! Twilio may add fields at any time, so unknown ones are ignored, and a missing field is an error only if
//! the event is useless without it. Parsing is strict where a guess would do harm: an invalid SID, an unknown
//! status, a field with two different values.
//!
//! A page's own parameters (`device.connect({params})`) arrive as fields of the same form. They are not
//! trusted; a page's `To` is only a request.

mod fields;
mod leg;
mod media;
mod transcription;

use std::fmt;

use url::form_urlencoded;

use self::fields::truncate_bytes;
use crate::ids::ClientIdentity;
use crate::ids::E164;
use crate::limits;

pub use self::leg::CallStatusCallback;
pub use self::leg::CallerName;
pub use self::leg::DialEnded;
pub use self::leg::LegDirection;
pub use self::leg::VoiceRequest;
pub use self::media::RecordingCallback;
pub use self::media::StreamCallback;
pub use self::media::StreamEvent;
pub use self::transcription::TranscriptionCallback;
pub use self::transcription::TranscriptionContent;
pub use self::transcription::TranscriptionEvent;

/// The header that identifies a webhook: a repetition has the same value.
pub const IDEMPOTENCY_HEADER: &str = "i-twilio-idempotency-token";

/// Error of [`decode_form`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// The form is longer than any of Twilio's.
    #[error("the form is longer than {} bytes", limits::WEBHOOK_BODY_BYTES_MAX)]
    TooLong,
    /// The form has more fields than any of Twilio's.
    #[error("the form has more than {} fields", limits::WEBHOOK_FIELDS_MAX)]
    TooManyFields,
}

/// A form that is not the expected webhook. Names the field, never its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// A required field is missing.
    #[error("the field {0} is missing")]
    Missing(&'static str),
    /// A field's value is invalid.
    #[error("the field {0} is invalid")]
    Unreadable(&'static str),
    /// A field has two different values.
    #[error("the field {0} has contradictory values")]
    Contradictory(&'static str),
}

/// Decodes the fields of an `application/x-www-form-urlencoded` body, or of a query, in their order and with
/// duplicates, as the signature requires. Invalid UTF-8 becomes U+FFFD.
pub fn decode_form(body: &[u8]) -> Result<Vec<(String, String)>, FormError> {
    if body.len() > limits::WEBHOOK_BODY_BYTES_MAX {
        return Err(FormError::TooLong);
    }
    let mut fields = form_urlencoded::parse(body);
    let form = fields.by_ref().take(limits::WEBHOOK_FIELDS_MAX);
    let form = form.map(|(name, value)| (name.into_owned(), value.into_owned()));
    let form = form.collect();
    let all = fields.next().is_none();
    all.then_some(form).ok_or(FormError::TooManyFields)
}

/// Parses a form as every kind of webhook, for tests and fuzz targets: no parser may panic.
#[cfg(any(test, feature = "fuzz"))]
pub fn parse_as_every_webhook(form: &[(String, String)]) {
    let _ = VoiceRequest::from_form(form);
    let _ = DialEnded::from_form(form);
    let _ = CallStatusCallback::from_form(form);
    let _ = RecordingCallback::from_form(form);
    let _ = StreamCallback::from_form(form);
    let _ = TranscriptionCallback::from_form(form);
}

/// Returns the value of [`IDEMPOTENCY_HEADER`]; `None` if it is empty or too long to be stored.
pub fn idempotency_token(header: Option<&str>) -> Option<String> {
    let fits = |token: &&str| (1..=limits::IDEMPOTENCY_TOKEN_BYTES_MAX).contains(&token.len());
    header.filter(fits).map(str::to_owned)
}

/// The address of a leg's party. `Debug` redacts numbers, and names that Twilio did not verify.
#[derive(Clone, PartialEq, Eq)]
pub enum CallAddress {
    /// A telephone.
    Number(E164),
    /// A browser, `client:…`; in `From` it is the identity of the browser's access token.
    Client(ClientIdentity),
    /// Any other address: a withheld number, a SIP address, the text that a page wrote into `To`.
    Other(String),
}

impl CallAddress {
    /// Parses an address in Twilio's spelling; `None` if it is empty.
    pub fn parse(text: &str) -> Option<Self> {
        let text = truncate_bytes(text.trim(), limits::ADDRESS_BYTES_MAX).trim_end();
        if text.is_empty() {
            return None;
        }
        let number = E164::parse(text).ok().map(Self::Number);
        let client = || {
            let identity = ClientIdentity::parse(text.strip_prefix("client:")?);
            identity.ok().map(Self::Client)
        };
        let address = number.or_else(client);
        Some(address.unwrap_or_else(|| Self::Other(text.to_owned())))
    }

    /// Returns Twilio's spelling: the prefix `client:` distinguishes a browser's identity from all other
    /// addresses.
    pub fn to_text(&self) -> String {
        match self {
            Self::Client(identity) => format!("client:{}", identity.as_str()),
            Self::Number(_) | Self::Other(_) => self.as_str().to_owned(),
        }
    }

    /// Returns the number, the identity, or the other address, without a prefix.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Number(number) => number.as_str(),
            Self::Client(identity) => identity.as_str(),
            Self::Other(text) => text,
        }
    }
}

impl fmt::Debug for CallAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "Number({number:?})"),
            Self::Client(_) => f.write_str("Client(…)"),
            Self::Other(_) => f.write_str("Other(…)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(super) const CALL: &str = "CallSid=CA00000000000000000000000000000001\
                        &AccountSid=AC00000000000000000000000000000001";

    /// Returns a form with the SIDs that every webhook has.
    pub(super) fn fields(rest: &str) -> Vec<(String, String)> {
        decode_form(format!("{CALL}&{rest}").as_bytes()).unwrap()
    }

    #[test]
    fn a_form_keeps_order_duplicates_and_empty_fields() {
        let fields = decode_form(b"b=2&a=%2B1%20x+y&a=&a=&%C3%BC=%ff&c").unwrap();
        let pairs: Vec<_> = fields
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        assert_eq!(
            pairs,
            [
                ("b", "2"),
                ("a", "+1 x y"),
                ("a", ""),
                ("a", ""),
                ("ü", "\u{fffd}"),
                ("c", "")
            ]
        );
    }

    #[test]
    fn a_form_has_its_bounds() {
        let fields = |count| decode_form("a=1&".repeat(count).as_bytes());
        assert!(fields(limits::WEBHOOK_FIELDS_MAX).is_ok());
        let too_many = fields(limits::WEBHOOK_FIELDS_MAX + 1);
        assert_eq!(too_many, Err(FormError::TooManyFields));
        assert!(decode_form(&vec![b'a'; limits::WEBHOOK_BODY_BYTES_MAX]).is_ok());
        let too_long = decode_form(&vec![b'a'; limits::WEBHOOK_BODY_BYTES_MAX + 1]);
        assert_eq!(too_long, Err(FormError::TooLong));
    }

    #[test]
    fn an_idempotency_token_is_kept_if_it_can_be() {
        assert_eq!(idempotency_token(Some("t-1")), Some("t-1".to_owned()));
        let long = "x".repeat(limits::IDEMPOTENCY_TOKEN_BYTES_MAX + 1);
        for none in [None, Some(""), Some(long.as_str())] {
            assert_eq!(idempotency_token(none), None);
        }
    }

    #[test]
    fn an_address_is_a_number_a_client_or_something_else() {
        let number = E164::parse("+14155550123").unwrap();
        assert_eq!(
            CallAddress::parse("+14155550123"),
            Some(CallAddress::Number(number))
        );
        let alice = ClientIdentity::parse("alice").unwrap();
        assert_eq!(
            CallAddress::parse("client:alice"),
            Some(CallAddress::Client(alice))
        );
        for other in [
            "client:al ice",
            "client:",
            "anonymous",
            "sip:a@b",
            "(415) 555-0123",
        ] {
            assert_eq!(
                CallAddress::parse(other),
                Some(CallAddress::Other(other.to_owned()))
            );
        }
        assert_eq!(CallAddress::parse(" "), None);
        let long = CallAddress::parse(&"ü".repeat(400)).unwrap();
        assert_eq!(long.as_str().len(), limits::ADDRESS_BYTES_MAX);
    }

    #[test]
    fn debug_shows_neither_numbers_nor_words_nor_names() {
        let form = fields(
            "From=%2B14155550123&To=jo@example.org&CallerName=JO&Final=true\
             &Track=inbound_track&TranscriptionSid=GT00000000000000000000000000000001\
             &TranscriptionEvent=transcription-content&TranscriptionData={\"transcript\":\"secret\"}",
        );
        let request = format!("{:?}", VoiceRequest::from_form(&form).unwrap());
        let words = format!("{:?}", TranscriptionCallback::from_form(&form).unwrap());
        for hidden in ["4155550", "example", "JO", "secret"] {
            assert!(
                !request.contains(hidden) && !words.contains(hidden),
                "{hidden}"
            );
        }
    }

    #[test]
    fn an_address_is_written_as_twilio_wrote_it() {
        for text in [
            "+14155550123",
            "client:alice",
            "alice",
            "sip:alice@example.org",
        ] {
            assert_eq!(CallAddress::parse(text).unwrap().to_text(), text);
        }
        // Cut in the gap between two words.
        let long = format!("{} b", "a".repeat(limits::ADDRESS_BYTES_MAX - 1));
        let cut = CallAddress::parse(&long);
        assert_eq!(CallAddress::parse(&cut.as_ref().unwrap().to_text()), cut);
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_defined_answer(body: Vec<u8>) {
            let form = decode_form(&body).unwrap();
            prop_assert!(VoiceRequest::from_form(&form).is_err());
        }

        #[test]
        fn no_value_of_any_field_makes_a_reader_panic(
            values in prop::collection::vec((0..FIELDS.len(), "\\PC{0,40}"), 0..30),
        ) {
            let mut form = fields("CallStatus=ringing");
            form.extend(values.into_iter().map(|(i, value)| (FIELDS[i].to_owned(), value)));
            parse_as_every_webhook(&form);
        }
    }

    const FIELDS: [&str; 16] = [
        "ApplicationSid",
        "CallDuration",
        "CallerName",
        "DialCallStatus",
        "From",
        "RecordingSid",
        "RecordingStatus",
        "RecordingUrl",
        "SequenceNumber",
        "SipResponseCode",
        "StreamError",
        "StreamEvent",
        "Timestamp",
        "To",
        "TranscriptionData",
        "TranscriptionEvent",
    ];
}
