//! What Twilio tells and asks us over HTTP: forms in, typed events out. Pure: no I/O.
//!
//! Every webhook is a form. [`decode_form`] decodes it, the signature is checked over what it gives
//! ([`Payload::Form`](super::signature::Payload)), and then the event is read from it. Reading is
//! liberal, as Twilio asks for (<https://www.twilio.com/docs/usage/webhooks/voice-webhooks>): fields
//! may come at any time, so unknown ones are passed over, and a missing one is an error only where
//! nothing can be done without it. It is strict where a guess would do harm: a SID that is none,
//! a status that nobody knows, a field that contradicts itself.
//!
//! A page's own parameters (`device.connect({params})`) come as fields of the same form. Trust none
//! of them; a page's `To` is a wish.

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

/// The header that names a webhook: a repetition has the same one.
pub const IDEMPOTENCY_HEADER: &str = "i-twilio-idempotency-token";

/// A body that is no form of Twilio's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// Longer than any.
    #[error("the form is longer than {} bytes", limits::WEBHOOK_BODY_BYTES_MAX)]
    TooLong,
    /// More fields than any has.
    #[error("the form has more than {} fields", limits::WEBHOOK_FIELDS_MAX)]
    TooManyFields,
}

/// A form that is not the webhook it should be. Names the field, never its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// Nothing can be done without it.
    #[error("the field {0} is missing")]
    Missing(&'static str),
    /// It says what nobody here understands.
    #[error("the field {0} cannot be read")]
    Unreadable(&'static str),
    /// It says two things.
    #[error("the field {0} contradicts itself")]
    Contradictory(&'static str),
}

/// The decoded fields of an `application/x-www-form-urlencoded` body, or of a query, in their
/// order, duplicates and all, as the signature wants them. Bytes that are no UTF-8 become U+FFFD.
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

/// Reads a form as every webhook there is, for tests and fuzz targets: none may panic.
#[cfg(any(test, feature = "fuzz"))]
pub fn parse_as_every_webhook(form: &[(String, String)]) {
    let _ = VoiceRequest::from_form(form);
    let _ = DialEnded::from_form(form);
    let _ = CallStatusCallback::from_form(form);
    let _ = RecordingCallback::from_form(form);
    let _ = StreamCallback::from_form(form);
    let _ = TranscriptionCallback::from_form(form);
}

/// The value of [`IDEMPOTENCY_HEADER`], if it can be kept.
pub fn idempotency_token(header: Option<&str>) -> Option<String> {
    let fits = |token: &&str| (1..=limits::IDEMPOTENCY_TOKEN_BYTES_MAX).contains(&token.len());
    header.filter(fits).map(str::to_owned)
}

/// Who is at one end of a leg. `Debug` shows no number and no name that Twilio did not check.
#[derive(Clone, PartialEq, Eq)]
pub enum CallAddress {
    /// A telephone.
    Number(E164),
    /// A browser, `client:…`; in `From` it is the identity of its access token.
    Client(ClientIdentity),
    /// Anything else: a withheld number, a SIP address, what a page wrote into `To`.
    Other(String),
}

impl CallAddress {
    /// Reads what Twilio writes; `None` for nothing.
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

    /// As Twilio writes it: a browser's identity follows `client:`, by which it is told from
    /// whatever else is written there.
    pub fn to_text(&self) -> String {
        match self {
            Self::Client(identity) => format!("client:{}", identity.as_str()),
            Self::Number(_) | Self::Other(_) => self.as_str().to_owned(),
        }
    }

    /// The number, the identity, or whatever else it is.
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

    /// A form with the SIDs that every webhook has.
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
        // Cut in a gap between two words.
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
