//! Webhooks of Twilio's own Real-Time Transcription. Pure: no I/O.

use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use super::WebhookError;
use super::fields::WebhookFields;
use super::fields::clamp_unit;
use super::fields::parse_bool;
use super::fields::parse_time;
use crate::clock::UtcTime;
use crate::ids::AccountSid;
use crate::ids::CallSid;
use crate::ids::Track;
use crate::ids::TranscriptionSid;

/// An event of Twilio's Real-Time Transcription (<https://www.twilio.com/docs/voice/twiml/transcription>).
///
/// | field | Twilio's | |
/// |---|---|---|
/// | `call_sid` | `CallSid` | needed |
/// | `account_sid` | `AccountSid` | needed |
/// | `transcription_sid` | `TranscriptionSid` | needed |
/// | `sequence` | `SequenceId`, from 1, over all tracks and events | |
/// | `at` | `Timestamp`: of the callback, not of the speech | |
/// | `event` | `TranscriptionEvent` and the fields of that event | needed |
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the table above documents the fields")]
pub struct TranscriptionCallback {
    pub call_sid: CallSid,
    pub account_sid: AccountSid,
    pub transcription_sid: TranscriptionSid,
    pub sequence: Option<u32>,
    pub at: Option<UtcTime>,
    pub event: TranscriptionEvent,
}

/// An event of a transcription.
#[derive(Debug, Clone, PartialEq)]
pub enum TranscriptionEvent {
    /// The transcription has started.
    Started {
        /// The transcription's name (`Name`).
        name: Option<String>,
        /// The recognised language (`LanguageCode`).
        language: Option<String>,
    },
    /// A piece of the transcript. Content that arrives after [`Self::Stopped`] is valid, too.
    Content(TranscriptionContent),
    /// The transcription has stopped; content that was in flight still arrives.
    Stopped,
    /// The transcription failed.
    Failed {
        /// Twilio's error code, such as 32650 (`TranscriptionErrorCode`, or `ErrorCode`).
        code: Option<u32>,
        /// The error message (`TranscriptionError`, or `ErrorMessage`).
        message: Option<String>,
    },
}

/// A partial or a final from Twilio. `Debug` redacts the text.
#[derive(Clone, PartialEq)]
pub struct TranscriptionContent {
    /// The track (`Track`).
    pub track: Track,
    /// Whether this is a final (`Final`); otherwise the track's next content replaces it.
    pub is_final: bool,
    /// The text, without the leading space that Twilio often sends (`TranscriptionData`).
    pub text: String,
    /// Confidence of a final, 0 to 1 (`TranscriptionData`).
    pub confidence: Option<f32>,
    /// Stability of a partial, 0 to 1: the probability that it will not change (`Stability`).
    pub stability: Option<f32>,
    /// The language, such as `en-US` (`LanguageCode`).
    pub language: Option<String>,
}

impl fmt::Debug for TranscriptionContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TranscriptionContent")
            .field("track", &self.track)
            .field("is_final", &self.is_final)
            .field("text_bytes", &self.text.len())
            .finish_non_exhaustive()
    }
}

/// `TranscriptionData`: a JSON text in a field of the form.
#[derive(Deserialize)]
struct TranscriptionData {
    transcript: String,
    /// Only a number counts; any other value is ignored, and the text is kept.
    #[serde(default)]
    confidence: Value,
}

impl TranscriptionCallback {
    /// Parses the callback.
    pub fn from_form(form: &[(String, String)]) -> Result<Self, WebhookError> {
        let fields = WebhookFields(form);
        let sid = |text: &str| TranscriptionSid::parse(text).ok();
        Ok(Self {
            call_sid: fields.call_sid()?,
            account_sid: fields.account_sid()?,
            transcription_sid: fields.required("TranscriptionSid", sid)?,
            sequence: fields.optional_number("SequenceId")?,
            at: fields.lenient("Timestamp", parse_time)?,
            event: Self::parse_event(&fields)?,
        })
    }

    fn parse_event(fields: &WebhookFields<'_>) -> Result<TranscriptionEvent, WebhookError> {
        const EVENT: &str = "TranscriptionEvent";
        match fields.get(EVENT)?.ok_or(WebhookError::Missing(EVENT))? {
            "transcription-started" => Ok(TranscriptionEvent::Started {
                name: fields.optional_text("Name")?,
                language: fields.optional_text("LanguageCode")?,
            }),
            "transcription-content" => Ok(TranscriptionEvent::Content(
                TranscriptionContent::from_fields(fields)?,
            )),
            "transcription-stopped" => Ok(TranscriptionEvent::Stopped),
            "transcription-error" => {
                let code = fields.optional_number("TranscriptionErrorCode")?;
                let message = fields.optional_text("TranscriptionError")?;
                Ok(TranscriptionEvent::Failed {
                    code: code.map_or_else(
                        || fields.optional_number("ErrorCode"),
                        |code| Ok(Some(code)),
                    )?,
                    message: message
                        .map_or_else(|| fields.optional_text("ErrorMessage"), |m| Ok(Some(m)))?,
                })
            }
            _ => Err(WebhookError::Unreadable(EVENT)),
        }
    }
}

impl TranscriptionContent {
    fn from_fields(fields: &WebhookFields<'_>) -> Result<Self, WebhookError> {
        let data = |text: &str| serde_json::from_str::<TranscriptionData>(text).ok();
        let data = fields.required("TranscriptionData", data)?;
        let track = |text: &str| match text {
            "inbound_track" | "inbound" => Some(Track::Inbound),
            "outbound_track" | "outbound" => Some(Track::Outbound),
            _ => None,
        };
        Ok(Self {
            track: fields.required("Track", track)?,
            is_final: fields.required("Final", parse_bool)?,
            text: data.transcript.trim().to_owned(),
            confidence: data.confidence.as_f64().and_then(|c| clamp_unit(c as f32)),
            stability: fields.lenient("Stability", |t| t.parse().ok().and_then(clamp_unit))?,
            language: fields.optional_text("LanguageCode")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::fields;
    use super::*;

    #[test]
    fn a_transcription_error_is_understood_in_both_spellings() {
        let event = |rest: &str| {
            let sid = "TranscriptionSid=GT00000000000000000000000000000001";
            let body = format!("{sid}&TranscriptionEvent=transcription-error&{rest}");
            TranscriptionCallback::from_form(&fields(&body))
                .unwrap()
                .event
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
    fn strange_measures_cost_no_words() {
        let read = |confidence: &str| {
            let sid = "TranscriptionSid=GT00000000000000000000000000000001";
            let data = format!("{{\"transcript\":\" a\"{confidence}}}");
            let body = format!(
                "{sid}&TranscriptionEvent=transcription-content&TranscriptionData={data}\
                 &Track=outbound&Final=True&Stability=NaN"
            );
            TranscriptionCallback::from_form(&fields(&body)).map(|callback| callback.event)
        };
        for (confidence, clamp_unit) in [
            ("", None),
            (",\"confidence\":null", None),
            (",\"confidence\":\"high\"", None),
            (",\"confidence\":1.5", Some(1.0)),
            (",\"confidence\":1e300", None),
        ] {
            let content = TranscriptionContent {
                track: Track::Outbound,
                is_final: true,
                text: "a".to_owned(),
                confidence: clamp_unit,
                stability: None,
                language: None,
            };
            assert_eq!(
                read(confidence),
                Ok(TranscriptionEvent::Content(content)),
                "{confidence}"
            );
        }
    }

    #[test]
    fn words_without_words_are_unreadable() {
        let read = |rest: &str| {
            let sid = "TranscriptionSid=GT00000000000000000000000000000001";
            let body = format!("{sid}&TranscriptionEvent=transcription-content&{rest}");
            TranscriptionCallback::from_form(&fields(&body)).map(|callback| callback.event)
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
}
