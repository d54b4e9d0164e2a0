//! Webhooks of recordings and Media Streams. Pure: no I/O.

use serde::Deserialize;

use super::WebhookError;
use super::fields::WebhookFields;
use super::fields::parse_time;
use super::fields::parse_word;
use crate::clock::UtcTime;
use crate::ids::AccountSid;
use crate::ids::CallSid;
use crate::ids::RecordingSid;
use crate::ids::StreamSid;
use crate::limits;
use crate::transcript::RecordingStatus;

/// Base URL of Twilio's recordings; recordings are never fetched from other hosts.
const RECORDINGS_AT: &str = "https://api.twilio.com/";

/// A change of a recording's status
/// (<https://www.twilio.com/docs/voice/api/recording#recordingstatuscallback>).
///
/// | field | Twilio's | |
/// |---|---|---|
/// | `call_sid` | `CallSid`: the parent of two legs | needed |
/// | `account_sid` | `AccountSid` | needed |
/// | `recording_sid` | `RecordingSid` | needed |
/// | `status` | `RecordingStatus` | needed |
/// | `url` | `RecordingUrl`, if it is at Twilio's API; has no extension | |
/// | `channels` | `RecordingChannels` | |
/// | `duration_seconds` | `RecordingDuration` | once completed |
/// | `started_at` | `RecordingStartTime` | |
/// | `error_code` | `ErrorCode`; 0 is `None` | |
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table above documents the fields")]
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
    /// Parses the callback.
    pub fn from_form(form: &[(String, String)]) -> Result<Self, WebhookError> {
        let fields = WebhookFields(form);
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
            recording_sid: fields.required("RecordingSid", |t| RecordingSid::parse(t).ok())?,
            status: fields.required("RecordingStatus", parse_word)?,
            url: fields.lenient("RecordingUrl", url)?,
            channels: fields.lenient("RecordingChannels", |t| t.parse().ok())?,
            duration_seconds: fields.optional_number("RecordingDuration")?,
            started_at: fields.lenient("RecordingStartTime", parse_time)?,
            error_code: fields.lenient("ErrorCode", code)?,
        })
    }
}

/// A change of a Media Stream's state (<https://www.twilio.com/docs/voice/twiml/stream#statuscallback>).
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
#[expect(missing_docs, reason = "the table above documents the fields")]
pub struct StreamCallback {
    pub call_sid: CallSid,
    pub account_sid: AccountSid,
    pub stream_sid: StreamSid,
    pub name: Option<String>,
    pub event: StreamEvent,
    pub error: Option<String>,
    pub at: Option<UtcTime>,
}

/// The state change of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum StreamEvent {
    /// The stream has started.
    #[serde(rename = "stream-started")]
    Started,
    /// The stream has ended.
    #[serde(rename = "stream-stopped")]
    Stopped,
    /// The stream failed.
    #[serde(rename = "stream-error")]
    Failed,
}

impl StreamCallback {
    /// Parses the callback.
    pub fn from_form(form: &[(String, String)]) -> Result<Self, WebhookError> {
        let fields = WebhookFields(form);
        Ok(Self {
            call_sid: fields.call_sid()?,
            account_sid: fields.account_sid()?,
            stream_sid: fields.required("StreamSid", |t| StreamSid::parse(t).ok())?,
            name: fields.optional_text("StreamName")?,
            event: fields.required("StreamEvent", parse_word)?,
            error: fields.optional_text("StreamError")?,
            at: fields.lenient("Timestamp", parse_time)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::fields;
    use super::*;

    #[test]
    fn a_recording_is_fetched_from_twilio_or_not_at_all() {
        let url = |url: &str| {
            let recording = "RecordingSid=RE00000000000000000000000000000001";
            let body = format!("{recording}&RecordingStatus=completed&RecordingUrl={url}");
            RecordingCallback::from_form(&fields(&body)).unwrap().url
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
}
