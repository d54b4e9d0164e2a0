//! What Twilio tells and asks us over HTTP: forms in, typed events out. Pure: no I/O.
//!
//! Every webhook is a form. [`form`] decodes it, the signature is checked over what it gives
//! ([`Payload::Form`](super::signature::Payload)), and then the event is read from it. Reading is
//! liberal, as Twilio asks for (<https://www.twilio.com/docs/usage/webhooks/voice-webhooks>): fields
//! may come at any time, so unknown ones are passed over, and a missing one is an error only where
//! nothing can be done without it. It is strict where a guess would do harm: a SID that is none,
//! a status that nobody knows, a field that contradicts itself.
//!
//! A page's own parameters (`device.connect({params})`) come as fields of the same form. Trust none
//! of them; a page's `To` is a wish.

use std::fmt;

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error as WordError;
use serde::de::value::StrDeserializer;
use url::form_urlencoded;

use crate::clock::UtcTime;
use crate::ids::AccountSid;
use crate::ids::ApplicationSid;
use crate::ids::CallSid;
use crate::ids::ClientIdentity;
use crate::ids::E164;
use crate::ids::RecordingSid;
use crate::ids::StreamSid;
use crate::ids::Track;
use crate::ids::TranscriptionSid;
use crate::limits;
use crate::transcript::CallStatus;
use crate::transcript::RecordingStatus;

/// The header that names a webhook: a repetition has the same one.
pub const IDEMPOTENCY_HEADER: &str = "i-twilio-idempotency-token";

/// Where recordings lie; nothing else is ever fetched.
const RECORDINGS_AT: &str = "https://api.twilio.com/";

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
pub fn form(body: &[u8]) -> Result<Vec<(String, String)>, FormError> {
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

/// The value of [`IDEMPOTENCY_HEADER`], if it can be kept.
pub fn idempotency_token(header: Option<&str>) -> Option<String> {
    let fits = |token: &&str| (1..=limits::IDEMPOTENCY_TOKEN_BYTES_MAX).contains(&token.len());
    header.filter(fits).map(str::to_owned)
}

/// Who is at one end of a leg. `Debug` shows no number and no name that Twilio did not check.
#[derive(Clone, PartialEq, Eq)]
pub enum Address {
    /// A telephone.
    Number(E164),
    /// A browser, `client:…`; in `From` it is the identity of its access token.
    Client(ClientIdentity),
    /// Anything else: a withheld number, a SIP address, what a page wrote into `To`.
    Other(String),
}

impl Address {
    /// Reads what Twilio writes; `None` for nothing.
    pub fn parse(text: &str) -> Option<Self> {
        let text = cut(text.trim(), limits::ADDRESS_BYTES_MAX);
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

    /// The number, the identity, or whatever else it is.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Number(number) => number.as_str(),
            Self::Client(identity) => identity.as_str(),
            Self::Other(text) => text,
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "Number({number:?})"),
            Self::Client(_) => f.write_str("Client(…)"),
            Self::Other(_) => f.write_str("Other(…)"),
        }
    }
}

/// How a leg came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LegDirection {
    /// It called Twilio: a telephone, or a browser.
    Inbound,
    /// A program had Twilio call it.
    OutboundApi,
    /// Another leg dialled it.
    OutboundDial,
}

/// A leg asks what to do (<https://www.twilio.com/docs/voice/twiml#request-parameters>).
///
/// | field | Twilio's | |
/// |---|---|---|
/// | `call_sid` | `CallSid` | needed |
/// | `account_sid` | `AccountSid` | needed |
/// | `application_sid` | `ApplicationSid` | browsers' calls |
/// | `parent` | `ParentCallSid` | dialled legs |
/// | `direction` | `Direction` | |
/// | `status` | `CallStatus` | |
/// | `from` | `From`; for a browser `Caller` must not say otherwise | |
/// | `to` | `To`: the number that was called, or what the page wrote | |
/// | `caller_name` | `CallerName` | with caller-ID look-up |
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table above says it")]
pub struct VoiceRequest {
    pub call_sid: CallSid,
    pub account_sid: AccountSid,
    pub application_sid: Option<ApplicationSid>,
    pub parent: Option<CallSid>,
    pub direction: Option<LegDirection>,
    pub status: Option<CallStatus>,
    pub from: Option<Address>,
    pub to: Option<Address>,
    pub caller_name: Option<CallerName>,
}

/// The name that a caller is registered under. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct CallerName(pub String);

impl fmt::Debug for CallerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallerName(…)")
    }
}

impl VoiceRequest {
    /// Reads the request.
    pub fn read(form: &[(String, String)]) -> Result<Self, WebhookError> {
        let fields = Fields(form);
        Ok(Self {
            call_sid: fields.call_sid()?,
            account_sid: fields.account_sid()?,
            application_sid: fields.sid("ApplicationSid", |t| ApplicationSid::parse(t).ok())?,
            parent: fields.sid("ParentCallSid", |t| CallSid::parse(t).ok())?,
            direction: fields.hint("Direction", word)?,
            status: fields.hint("CallStatus", word)?,
            from: fields.caller()?,
            to: fields.hint("To", Address::parse)?,
            caller_name: fields.text("CallerName")?.map(CallerName),
        })
    }
}

/// A `Dial` is over, and its leg asks what is next
/// (<https://www.twilio.com/docs/voice/twiml/dial#action>).
///
/// | field | Twilio's | |
/// |---|---|---|
/// | `call_sid` | `CallSid`: the leg that dialled | needed |
/// | `account_sid` | `AccountSid` | needed |
/// | `status` | `DialCallStatus`; `answered`, which conferences say, is completed | needed |
/// | `child` | `DialCallSid`: the leg that was dialled | if there was one |
/// | `duration_seconds` | `DialCallDuration` | if it was answered |
/// | `bridged` | `DialBridged`: whether the two legs were joined | |
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table above says it")]
pub struct DialEnded {
    pub call_sid: CallSid,
    pub account_sid: AccountSid,
    pub status: CallStatus,
    pub child: Option<CallSid>,
    pub duration_seconds: Option<u32>,
    pub bridged: Option<bool>,
}

impl DialEnded {
    /// Reads the request.
    pub fn read(form: &[(String, String)]) -> Result<Self, WebhookError> {
        let fields = Fields(form);
        let status = |text: &str| match text {
            "answered" => Some(CallStatus::Completed),
            text => word(text),
        };
        Ok(Self {
            call_sid: fields.call_sid()?,
            account_sid: fields.account_sid()?,
            status: fields.needed("DialCallStatus", status)?,
            child: fields.sid("DialCallSid", |t| CallSid::parse(t).ok())?,
            duration_seconds: fields.number("DialCallDuration")?,
            bridged: fields.hint("DialBridged", truth)?,
        })
    }
}

/// A leg moved (<https://www.twilio.com/docs/voice/api/call-resource#statuscallback> and
/// <https://www.twilio.com/docs/voice/twiml/number#statuscallback>). Comes in any order, and
/// sometimes twice.
///
/// | field | Twilio's | |
/// |---|---|---|
/// | `call_sid` | `CallSid` | needed |
/// | `account_sid` | `AccountSid` | needed |
/// | `parent` | `ParentCallSid`; without it the leg is the parent | dialled legs |
/// | `status` | `CallStatus` | needed |
/// | `sequence` | `SequenceNumber`, from 0 for each leg | |
/// | `at` | `Timestamp` | |
/// | `duration_seconds` | `CallDuration` (`Duration` is in minutes) | at the end |
/// | `sip_code` | `SipResponseCode` | at the end |
/// | `direction` | `Direction` | |
/// | `from`, `to` | `From`, `To` | |
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table above says it")]
pub struct CallStatusCallback {
    pub call_sid: CallSid,
    pub account_sid: AccountSid,
    pub parent: Option<CallSid>,
    pub status: CallStatus,
    pub sequence: Option<u32>,
    pub at: Option<UtcTime>,
    pub duration_seconds: Option<u32>,
    pub sip_code: Option<u16>,
    pub direction: Option<LegDirection>,
    pub from: Option<Address>,
    pub to: Option<Address>,
}

impl CallStatusCallback {
    /// Reads the callback.
    pub fn read(form: &[(String, String)]) -> Result<Self, WebhookError> {
        let fields = Fields(form);
        Ok(Self {
            call_sid: fields.call_sid()?,
            account_sid: fields.account_sid()?,
            parent: fields.sid("ParentCallSid", |t| CallSid::parse(t).ok())?,
            status: fields.needed("CallStatus", word)?,
            sequence: fields.number("SequenceNumber")?,
            at: fields.hint("Timestamp", time)?,
            duration_seconds: fields.number("CallDuration")?,
            sip_code: fields.hint("SipResponseCode", |t| t.parse().ok())?,
            direction: fields.hint("Direction", word)?,
            from: fields.caller()?,
            to: fields.hint("To", Address::parse)?,
        })
    }
}

/// A recording moved
/// (<https://www.twilio.com/docs/voice/api/recording#recordingstatuscallback>).
///
/// | field | Twilio's | |
/// |---|---|---|
/// | `call_sid` | `CallSid`: the parent of two legs | needed |
/// | `account_sid` | `AccountSid` | needed |
/// | `recording_sid` | `RecordingSid` | needed |
/// | `status` | `RecordingStatus` | needed |
/// | `url` | `RecordingUrl`, if it lies at Twilio's API; has no extension | |
/// | `channels` | `RecordingChannels` | |
/// | `duration_seconds` | `RecordingDuration` | once completed |
/// | `started_at` | `RecordingStartTime` | |
/// | `error_code` | `ErrorCode`; its 0 is none | |
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table above says it")]
pub struct RecordingCallback {
    pub call_sid: CallSid,
    pub account_sid: AccountSid,
    pub recording_sid: RecordingSid,
    pub status: RecordingStatus,
    pub url: Option<String>,
    pub channels: Option<u8>,
    pub duration_seconds: Option<u32>,
    pub started_at: Option<UtcTime>,
    pub error_code: Option<u32>,
}

impl RecordingCallback {
    /// Reads the callback.
    pub fn read(form: &[(String, String)]) -> Result<Self, WebhookError> {
        let fields = Fields(form);
        let url = |text: &str| {
            let ours = text.starts_with(RECORDINGS_AT)
                && text.len() <= limits::WEBHOOK_TEXT_BYTES_MAX
                && text.bytes().all(|b| b.is_ascii_graphic());
            ours.then(|| text.to_owned())
        };
        let code = |text: &str| text.parse().ok().filter(|code| *code != 0);
        Ok(Self {
            call_sid: fields.call_sid()?,
            account_sid: fields.account_sid()?,
            recording_sid: fields.needed("RecordingSid", |t| RecordingSid::parse(t).ok())?,
            status: fields.needed("RecordingStatus", word)?,
            url: fields.hint("RecordingUrl", url)?,
            channels: fields.hint("RecordingChannels", |t| t.parse().ok())?,
            duration_seconds: fields.number("RecordingDuration")?,
            started_at: fields.hint("RecordingStartTime", time)?,
            error_code: fields.hint("ErrorCode", code)?,
        })
    }
}

/// A Media Stream moved (<https://www.twilio.com/docs/voice/twiml/stream#statuscallback>).
///
/// | field | Twilio's | |
/// |---|---|---|
/// | `call_sid` | `CallSid` | needed |
/// | `account_sid` | `AccountSid` | needed |
/// | `stream_sid` | `StreamSid` | needed |
/// | `name` | `StreamName` | |
/// | `event` | `StreamEvent` | needed |
/// | `error` | `StreamError` | on errors |
/// | `at` | `Timestamp` | |
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table above says it")]
pub struct StreamCallback {
    pub call_sid: CallSid,
    pub account_sid: AccountSid,
    pub stream_sid: StreamSid,
    pub name: Option<String>,
    pub event: StreamEvent,
    pub error: Option<String>,
    pub at: Option<UtcTime>,
}

/// What happened to a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum StreamEvent {
    /// It runs.
    #[serde(rename = "stream-started")]
    Started,
    /// It is over.
    #[serde(rename = "stream-stopped")]
    Stopped,
    /// It failed.
    #[serde(rename = "stream-error")]
    Failed,
}

impl StreamCallback {
    /// Reads the callback.
    pub fn read(form: &[(String, String)]) -> Result<Self, WebhookError> {
        let fields = Fields(form);
        Ok(Self {
            call_sid: fields.call_sid()?,
            account_sid: fields.account_sid()?,
            stream_sid: fields.needed("StreamSid", |t| StreamSid::parse(t).ok())?,
            name: fields.text("StreamName")?,
            event: fields.needed("StreamEvent", word)?,
            error: fields.text("StreamError")?,
            at: fields.hint("Timestamp", time)?,
        })
    }
}

/// Twilio's own transcription moved, or heard something
/// (<https://www.twilio.com/docs/voice/twiml/transcription>).
///
/// | field | Twilio's | |
/// |---|---|---|
/// | `call_sid` | `CallSid` | needed |
/// | `account_sid` | `AccountSid` | needed |
/// | `transcription_sid` | `TranscriptionSid` | needed |
/// | `sequence` | `SequenceId`, from 1, over all tracks and events | |
/// | `at` | `Timestamp`: of the callback, not of the speech | |
/// | `event` | `TranscriptionEvent` and what belongs to it | needed |
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the table above says it")]
pub struct TranscriptionCallback {
    pub call_sid: CallSid,
    pub account_sid: AccountSid,
    pub transcription_sid: TranscriptionSid,
    pub sequence: Option<u32>,
    pub at: Option<UtcTime>,
    pub event: TranscriptionEvent,
}

/// What a transcription has to say.
#[derive(Debug, Clone, PartialEq)]
pub enum TranscriptionEvent {
    /// It runs.
    Started {
        /// Its name (`Name`).
        name: Option<String>,
        /// The language that it hears (`LanguageCode`).
        language: Option<String>,
    },
    /// Words. They may come after [`Self::Stopped`], and count then too.
    Content(Content),
    /// It is over; words that were on their way still come.
    Stopped,
    /// It failed.
    Failed {
        /// Twilio's error, such as 32650 (`TranscriptionErrorCode`, or `ErrorCode`).
        code: Option<u32>,
        /// What it says (`TranscriptionError`, or `ErrorMessage`).
        message: Option<String>,
    },
}

/// Words that Twilio heard. `Debug` does not show them.
#[derive(Clone, PartialEq)]
pub struct Content {
    /// On which track (`Track`).
    pub track: Track,
    /// Whether they stay (`Final`); otherwise the next ones of this track take their place.
    pub is_final: bool,
    /// The words, without the space that they often begin with (`TranscriptionData`).
    pub text: String,
    /// 0 to 1, of finals (`TranscriptionData`).
    pub confidence: Option<f32>,
    /// 0 to 1, of partials: how likely they are to stay (`Stability`).
    pub stability: Option<f32>,
    /// The language, such as `en-US` (`LanguageCode`).
    pub language: Option<String>,
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content")
            .field("track", &self.track)
            .field("is_final", &self.is_final)
            .field("text_bytes", &self.text.len())
            .finish_non_exhaustive()
    }
}

/// `TranscriptionData`, a JSON text in a field of the form.
#[derive(Deserialize)]
struct TranscriptionData {
    transcript: String,
    confidence: Option<f32>,
}

impl TranscriptionCallback {
    /// Reads the callback.
    pub fn read(form: &[(String, String)]) -> Result<Self, WebhookError> {
        let fields = Fields(form);
        let sid = |text: &str| TranscriptionSid::parse(text).ok();
        Ok(Self {
            call_sid: fields.call_sid()?,
            account_sid: fields.account_sid()?,
            transcription_sid: fields.needed("TranscriptionSid", sid)?,
            sequence: fields.number("SequenceId")?,
            at: fields.hint("Timestamp", time)?,
            event: Self::event(&fields)?,
        })
    }

    fn event(fields: &Fields<'_>) -> Result<TranscriptionEvent, WebhookError> {
        const EVENT: &str = "TranscriptionEvent";
        match fields.get(EVENT)?.ok_or(WebhookError::Missing(EVENT))? {
            "transcription-started" => Ok(TranscriptionEvent::Started {
                name: fields.text("Name")?,
                language: fields.text("LanguageCode")?,
            }),
            "transcription-content" => Ok(TranscriptionEvent::Content(Content::read(fields)?)),
            "transcription-stopped" => Ok(TranscriptionEvent::Stopped),
            "transcription-error" => {
                let code = fields.number("TranscriptionErrorCode")?;
                let message = fields.text("TranscriptionError")?;
                Ok(TranscriptionEvent::Failed {
                    code: code.map_or_else(|| fields.number("ErrorCode"), |code| Ok(Some(code)))?,
                    message: message
                        .map_or_else(|| fields.text("ErrorMessage"), |m| Ok(Some(m)))?,
                })
            }
            _ => Err(WebhookError::Unreadable(EVENT)),
        }
    }
}

impl Content {
    fn read(fields: &Fields<'_>) -> Result<Self, WebhookError> {
        let data = |text: &str| serde_json::from_str::<TranscriptionData>(text).ok();
        let data = fields.needed("TranscriptionData", data)?;
        let track = |text: &str| match text {
            "inbound_track" | "inbound" => Some(Track::Inbound),
            "outbound_track" | "outbound" => Some(Track::Outbound),
            _ => None,
        };
        Ok(Self {
            track: fields.needed("Track", track)?,
            is_final: fields.needed("Final", truth)?,
            text: data.transcript.trim().to_owned(),
            confidence: data.confidence.and_then(share),
            stability: fields.hint("Stability", |t| t.parse().ok().and_then(share))?,
            language: fields.text("LanguageCode")?,
        })
    }
}

/// A form, as events are read from it. An empty field is one that is not there.
struct Fields<'a>(&'a [(String, String)]);

impl<'a> Fields<'a> {
    /// A field; twice with the same value is once.
    fn get(&self, name: &'static str) -> Result<Option<&'a str>, WebhookError> {
        let mut values = self.0.iter().filter(|(n, _)| n == name).map(|(_, v)| v);
        let first = values.next();
        if values.any(|other| Some(other) != first) {
            return Err(WebhookError::Contradictory(name));
        }
        Ok(first.map(String::as_str).filter(|value| !value.is_empty()))
    }

    /// A field that must be there and be right.
    fn needed<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, WebhookError> {
        let text = self.get(name)?.ok_or(WebhookError::Missing(name))?;
        read(text).ok_or(WebhookError::Unreadable(name))
    }

    /// A field that need not be there, but must be right.
    fn sid<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, WebhookError> {
        self.get(name)?
            .map(|text| read(text).ok_or(WebhookError::Unreadable(name)))
            .transpose()
    }

    /// A field that is good to know, if it can be read.
    fn hint<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, WebhookError> {
        Ok(self.get(name)?.and_then(read))
    }

    fn number(&self, name: &'static str) -> Result<Option<u32>, WebhookError> {
        self.hint(name, |text| text.parse().ok())
    }

    fn text(&self, name: &'static str) -> Result<Option<String>, WebhookError> {
        let text = self.get(name)?;
        Ok(text.map(|text| cut(text, limits::WEBHOOK_TEXT_BYTES_MAX).to_owned()))
    }

    fn call_sid(&self) -> Result<CallSid, WebhookError> {
        self.needed("CallSid", |text| CallSid::parse(text).ok())
    }

    fn account_sid(&self) -> Result<AccountSid, WebhookError> {
        self.needed("AccountSid", |text| AccountSid::parse(text).ok())
    }

    /// `From`, which for a browser must be what `Caller`, its copy, says: a page can add fields,
    /// and whose call it is hangs on this one.
    fn caller(&self) -> Result<Option<Address>, WebhookError> {
        let (from, caller) = (self.get("From")?, self.get("Caller")?);
        let from_browser = from.is_some_and(|from| from.starts_with("client:"));
        if from_browser && caller.is_some() && caller != from {
            return Err(WebhookError::Contradictory("From"));
        }
        Ok(from.and_then(Address::parse))
    }
}

/// A word of one of our lists, as serde knows it.
fn word<T: for<'de> Deserialize<'de>>(text: &str) -> Option<T> {
    let word: StrDeserializer<'_, WordError> = text.into_deserializer();
    T::deserialize(word).ok()
}

fn truth(text: &str) -> Option<bool> {
    match text {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

fn time(text: &str) -> Option<UtcTime> {
    UtcTime::parse(text).ok()
}

fn share(number: f32) -> Option<f32> {
    number.is_finite().then(|| number.clamp(0.0, 1.0))
}

/// The first `bytes` bytes of `text`, and no half characters.
fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CALL: &str = "CallSid=CA00000000000000000000000000000001\
                        &AccountSid=AC00000000000000000000000000000001";

    /// A form with the SIDs that every webhook has.
    fn fields(rest: &str) -> Vec<(String, String)> {
        form(format!("{CALL}&{rest}").as_bytes()).unwrap()
    }

    #[test]
    fn a_form_keeps_order_duplicates_and_empty_fields() {
        let fields = form(b"b=2&a=%2B1%20x+y&a=&a=&%C3%BC=%ff&c").unwrap();
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
        let fields = |count| form("a=1&".repeat(count).as_bytes());
        assert!(fields(limits::WEBHOOK_FIELDS_MAX).is_ok());
        let too_many = fields(limits::WEBHOOK_FIELDS_MAX + 1);
        assert_eq!(too_many, Err(FormError::TooManyFields));
        assert!(form(&vec![b'a'; limits::WEBHOOK_BODY_BYTES_MAX]).is_ok());
        let too_long = form(&vec![b'a'; limits::WEBHOOK_BODY_BYTES_MAX + 1]);
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
            Address::parse("+14155550123"),
            Some(Address::Number(number))
        );
        let alice = ClientIdentity::parse("alice").unwrap();
        assert_eq!(Address::parse("client:alice"), Some(Address::Client(alice)));
        for other in [
            "client:al ice",
            "client:",
            "anonymous",
            "sip:a@b",
            "(415) 555-0123",
        ] {
            assert_eq!(
                Address::parse(other),
                Some(Address::Other(other.to_owned()))
            );
        }
        assert_eq!(Address::parse(" "), None);
        let long = Address::parse(&"ü".repeat(400)).unwrap();
        assert_eq!(long.as_str().len(), limits::ADDRESS_BYTES_MAX);
    }

    #[test]
    fn a_browser_does_not_pass_for_another() {
        let read = |rest| VoiceRequest::read(&fields(rest)).map(|request| request.from);
        let alice = Address::parse("client:alice");
        assert_eq!(read("From=client%3Aalice"), Ok(alice.clone()));
        assert_eq!(
            read("From=client%3Aalice&Caller=client%3Aalice"),
            Ok(alice.clone())
        );
        assert_eq!(read("From=client%3Aalice&From=client%3Aalice"), Ok(alice));
        for forged in [
            "From=client%3Aalice&Caller=client%3Abob",
            "From=client%3Aalice&From=client%3Abob",
            "From=client%3Aalice&From=",
        ] {
            assert_eq!(
                read(forged),
                Err(WebhookError::Contradictory("From")),
                "{forged}"
            );
        }
    }

    #[test]
    fn a_leg_without_what_it_needs_is_an_error_that_names_the_field() {
        let read = |body: &str| CallStatusCallback::read(&form(body.as_bytes()).unwrap());
        for (body, error) in [
            ("", WebhookError::Missing("CallSid")),
            ("CallSid=", WebhookError::Missing("CallSid")),
            ("CallSid=CA1", WebhookError::Unreadable("CallSid")),
            (
                "CallSid=CA00000000000000000000000000000001",
                WebhookError::Missing("AccountSid"),
            ),
            (CALL, WebhookError::Missing("CallStatus")),
            (
                &format!("{CALL}&CallStatus=dreaming"),
                WebhookError::Unreadable("CallStatus"),
            ),
            (
                &format!("{CALL}&CallStatus=ringing&ParentCallSid=CA1"),
                WebhookError::Unreadable("ParentCallSid"),
            ),
        ] {
            assert_eq!(read(body), Err(error), "{body}");
        }
    }

    #[test]
    fn what_is_only_good_to_know_may_be_anything() {
        let form = fields("CallStatus=no-answer&SequenceNumber=-1&Timestamp=soon&CallDuration=x");
        let callback = CallStatusCallback::read(&form).unwrap();
        assert_eq!(callback.status, CallStatus::NoAnswer);
        let hints = (callback.sequence, callback.at, callback.duration_seconds);
        assert_eq!(hints, (None, None, None));
    }

    #[test]
    fn a_recording_is_fetched_from_twilio_or_not_at_all() {
        let url = |url: &str| {
            let recording = "RecordingSid=RE00000000000000000000000000000001";
            let body = format!("{recording}&RecordingStatus=completed&RecordingUrl={url}");
            RecordingCallback::read(&fields(&body)).unwrap().url
        };
        let real = "https://api.twilio.com/2010-04-01/Accounts/AC1/Recordings/RE1";
        assert_eq!(url(real), Some(real.to_owned()));
        for other in [
            "",
            "http://api.twilio.com/x",
            "https://api.twilio.com.example.org/x",
            "https://api.twilio.com@example.org/x",
            "https://example.org/https://api.twilio.com/",
            "https://api.twilio.com/x%0d%0ay",
        ] {
            assert_eq!(url(other), None, "{other}");
        }
    }

    #[test]
    fn a_dial_that_a_conference_answered_is_completed() {
        let ended = DialEnded::read(&fields("DialCallStatus=answered&DialBridged=maybe")).unwrap();
        assert_eq!((ended.status, ended.bridged), (CallStatus::Completed, None));
    }

    #[test]
    fn a_transcription_error_is_understood_in_both_spellings() {
        let event = |rest: &str| {
            let sid = "TranscriptionSid=GT00000000000000000000000000000001";
            let body = format!("{sid}&TranscriptionEvent=transcription-error&{rest}");
            TranscriptionCallback::read(&fields(&body)).unwrap().event
        };
        let failed = TranscriptionEvent::Failed {
            code: Some(32_650),
            message: Some("no engine".to_owned()),
        };
        let documented = "TranscriptionErrorCode=32650&TranscriptionError=no+engine";
        assert_eq!(event(documented), failed);
        assert_eq!(event("ErrorCode=32650&ErrorMessage=no+engine"), failed);
    }

    #[test]
    fn words_without_words_are_unreadable() {
        let read = |rest: &str| {
            let sid = "TranscriptionSid=GT00000000000000000000000000000001";
            let body = format!("{sid}&TranscriptionEvent=transcription-content&{rest}");
            TranscriptionCallback::read(&fields(&body)).map(|callback| callback.event)
        };
        for (rest, error) in [
            (
                "Track=inbound_track",
                WebhookError::Missing("TranscriptionData"),
            ),
            (
                "TranscriptionData=x",
                WebhookError::Unreadable("TranscriptionData"),
            ),
            (
                "TranscriptionData={\"transcript\":\"a\"}&Track=both_tracks",
                WebhookError::Unreadable("Track"),
            ),
            (
                "TranscriptionData={\"transcript\":\"a\"}&Track=inbound_track",
                WebhookError::Missing("Final"),
            ),
        ] {
            assert_eq!(read(rest), Err(error), "{rest}");
        }
    }

    #[test]
    fn debug_shows_neither_numbers_nor_words_nor_names() {
        let form = fields(
            "From=%2B14155550123&To=jo@example.org&CallerName=JO&Final=true\
             &Track=inbound_track&TranscriptionSid=GT00000000000000000000000000000001\
             &TranscriptionEvent=transcription-content&TranscriptionData={\"transcript\":\"secret\"}",
        );
        let request = format!("{:?}", VoiceRequest::read(&form).unwrap());
        let words = format!("{:?}", TranscriptionCallback::read(&form).unwrap());
        for hidden in ["4155550", "example", "JO", "secret"] {
            assert!(
                !request.contains(hidden) && !words.contains(hidden),
                "{hidden}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_defined_answer(body: Vec<u8>) {
            let form = form(&body).unwrap();
            prop_assert!(VoiceRequest::read(&form).is_err());
        }

        #[test]
        fn no_value_of_any_field_makes_a_reader_panic(
            values in prop::collection::vec((0..FIELDS.len(), "\\PC{0,40}"), 0..30),
        ) {
            let mut form = fields("CallStatus=ringing");
            form.extend(values.into_iter().map(|(i, value)| (FIELDS[i].to_owned(), value)));
            let _ = VoiceRequest::read(&form);
            let _ = DialEnded::read(&form);
            let _ = CallStatusCallback::read(&form);
            let _ = RecordingCallback::read(&form);
            let _ = StreamCallback::read(&form);
            let _ = TranscriptionCallback::read(&form);
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
