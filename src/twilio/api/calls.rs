//! Operations on a call in progress (recording, streaming, transcription, hanging up), and on its recordings.
//!
//! Sources: <https://www.twilio.com/docs/voice/api/recording>,
//! <https://www.twilio.com/docs/voice/api/call-resource>,
//! <https://www.twilio.com/docs/voice/api/stream-resource>,
//! <https://www.twilio.com/docs/voice/api/realtime-transcription-resource>.

use std::fmt;

use reqwest::Method;
use serde::Deserialize;
use serde::de::Deserializer;

use super::error::TwilioError;
use super::retry::RequestKind;
use super::{RequestForm, TwilioClient, deserialize_number, deserialize_text};
use crate::clock::UtcTime;
use crate::ids::{CallSid, RecordingSid, StreamSid, TranscriptionSid};
use crate::limits::{LEGS_PER_CALL_MAX, STREAM_PARAMETERS_MAX};
use crate::transcript::{CallStatus, RecordingStatus};
use crate::twilio::tracks::TrackSelection;

/// Options of a new recording.
#[derive(Debug, Clone, Default)]
pub struct StartRecording {
    /// The recording's status callback: an absolute URL.
    pub callback: Option<String>,
    /// Whether both parties share one channel; otherwise each has its own.
    pub mono: bool,
    /// The recorded tracks.
    pub tracks: TrackSelection,
    /// Whether silence at both ends is removed.
    pub trim_silence: bool,
    /// The call's known recordings: if the response is lost, the requested recording is the one at Twilio
    /// that is not among them.
    pub known: Vec<RecordingSid>,
}

/// Identifies a recording of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordingRef<'a> {
    /// The recording with this SID.
    Sid(&'a RecordingSid),
    /// The recording in progress; Twilio refuses if there are several.
    Current,
}

impl RecordingRef<'_> {
    fn as_str(&self) -> &str {
        match self {
            Self::Sid(sid) => sid.as_str(),
            Self::Current => "Twilio.CURRENT",
        }
    }
}

/// The content of a paused recording during the pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PauseBehavior {
    /// Silence: times in the recording equal times in the call.
    #[default]
    Silence,
    /// Nothing: the recording is shorter than the call.
    Skip,
}

/// Twilio's description of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RecordingResource {
    /// Its SID.
    pub sid: RecordingSid,
    /// The recorded call.
    pub call_sid: CallSid,
    /// The recording's status. Twilio reports a recording in progress or on pause as `processing` when it is
    /// fetched, which is [`RecordingStatus::Stopped`] here; a status that this program does not know also
    /// maps to it.
    #[serde(deserialize_with = "deserialize_status")]
    pub status: RecordingStatus,
    /// Number of channels: 2 if each party has its own.
    #[serde(default, deserialize_with = "deserialize_number")]
    pub channels: Option<u8>,
    /// Duration in seconds, if it is already known.
    #[serde(default, rename = "duration", deserialize_with = "deserialize_number")]
    pub duration_seconds: Option<u32>,
    /// Start time.
    #[serde(default, rename = "start_time", deserialize_with = "deserialize_time")]
    pub started_at: Option<UtcTime>,
    /// The source of the recording: `StartCallRecordingAPI`, `DialVerb`, ….
    #[serde(default)]
    pub source: Option<String>,
    /// The reason for [`RecordingStatus::Absent`].
    #[serde(default, deserialize_with = "deserialize_number")]
    pub error_code: Option<u32>,
}

/// Twilio's description of a leg. `Debug` redacts the numbers.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct CallResource {
    /// Its SID.
    pub sid: CallSid,
    /// The leg that dialled this leg; `None`: this is the first leg of the call.
    #[serde(default, rename = "parent_call_sid")]
    pub parent: Option<CallSid>,
    /// The leg's status.
    pub status: CallStatus,
    /// The caller.
    #[serde(default, deserialize_with = "deserialize_text")]
    pub from: String,
    /// The callee.
    #[serde(default, deserialize_with = "deserialize_text")]
    pub to: String,
    /// Duration in seconds, once the leg has ended.
    #[serde(default, rename = "duration", deserialize_with = "deserialize_number")]
    pub duration_seconds: Option<u32>,
    /// End time.
    #[serde(default, rename = "end_time", deserialize_with = "deserialize_time")]
    pub ended_at: Option<UtcTime>,
}

impl fmt::Debug for CallResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallResource")
            .field("sid", &self.sid)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// Options of a new Media Stream. No `Debug`: its URL or its parameters contain the stream's secret.
pub struct NewStream {
    /// Destination of the audio: a `wss://…` URL without a query, because Twilio drops queries.
    pub url: String,
    /// Name, unique within the call; the stream can be stopped by it.
    pub name: String,
    /// The tracks of the stream.
    pub tracks: TrackSelection,
    /// The stream's status callback: an absolute URL.
    pub status_callback: Option<String>,
    /// Parameters for the stream's `start` message, up to [`STREAM_PARAMETERS_MAX`].
    pub parameters: Vec<(String, String)>,
}

/// Options of a new Real-Time Transcription.
#[derive(Debug, Clone)]
pub struct NewTranscription {
    /// Name, unique within the call; the transcription can be stopped by it.
    pub name: String,
    /// Destination of the transcript: an absolute URL.
    pub status_callback: String,
    /// The transcribed tracks.
    pub tracks: TrackSelection,
    /// The spoken language, such as `en-US`.
    pub language: Option<String>,
    /// Whether partials are sent, too.
    pub partial_results: bool,
}

/// Twilio's response to the creation of a resource.
#[derive(Deserialize)]
struct CreatedResource<S> {
    sid: S,
}

impl TwilioClient {
    /// Starts recording a call in progress. If the response is lost, the new recording is looked up rather
    /// than requested twice.
    pub async fn start_recording(
        &self,
        call: &CallSid,
        request: &StartRecording,
    ) -> Result<RecordingResource, TwilioError> {
        let mut form = RequestForm::default();
        if let Some(callback) = &request.callback {
            for event in ["in-progress", "completed", "absent"] {
                form = form.with("RecordingStatusCallbackEvent", event);
            }
            form = form.with("RecordingStatusCallback", callback);
            form = form.with("RecordingStatusCallbackMethod", "POST");
        }
        let trim = if request.trim_silence {
            "trim-silence"
        } else {
            "do-not-trim"
        };
        let form = form
            .with("Trim", trim)
            .with(
                "RecordingChannels",
                if request.mono { "mono" } else { "dual" },
            )
            .with("RecordingTrack", request.tracks.recording_value());
        let path = ["Calls", call.as_str(), "Recordings"];
        match self.post(&path, form, RequestKind::Create).await {
            Err(doubt) if doubt.may_have_succeeded() => self
                .find_started_recording(call, &request.known)
                .await
                .ok_or(doubt),
            answer => answer,
        }
    }

    /// Returns the requested recording if Twilio created it although the response was lost.
    async fn find_started_recording(
        &self,
        call: &CallSid,
        known: &[RecordingSid],
    ) -> Option<RecordingResource> {
        let all = self.list_recordings(call).await.ok()?;
        let is_open = |status| {
            use RecordingStatus::{Absent, Completed, Failed, InProgress, Paused, Stopped};
            match status {
                InProgress | Paused | Stopped => true,
                Completed | Absent | Failed => false,
            }
        };
        let ours = all.into_iter().filter(|recording| {
            recording.source.as_deref() == Some("StartCallRecordingAPI")
                && is_open(recording.status)
                && !known.contains(&recording.sid)
        });
        // A recording with an unknown SID cannot have been stopped, so it is in progress, whatever status the
        // list reports.
        let mut ours = ours.max_by_key(|recording| recording.started_at)?;
        ours.status = RecordingStatus::InProgress;
        Some(ours)
    }

    /// Stops a recording; its audio is available some time later.
    pub async fn stop_recording(
        &self,
        call: &CallSid,
        which: RecordingRef<'_>,
    ) -> Result<RecordingResource, TwilioError> {
        self.update_recording(call, which, "stopped", None).await
    }

    /// Pauses a recording.
    pub async fn pause_recording(
        &self,
        call: &CallSid,
        which: RecordingRef<'_>,
        behavior: PauseBehavior,
    ) -> Result<RecordingResource, TwilioError> {
        let behavior = match behavior {
            PauseBehavior::Silence => "silence",
            PauseBehavior::Skip => "skip",
        };
        self.update_recording(call, which, "paused", Some(behavior))
            .await
    }

    /// Resumes a paused recording.
    pub async fn resume_recording(
        &self,
        call: &CallSid,
        which: RecordingRef<'_>,
    ) -> Result<RecordingResource, TwilioError> {
        self.update_recording(call, which, "in-progress", None)
            .await
    }

    async fn update_recording(
        &self,
        call: &CallSid,
        which: RecordingRef<'_>,
        status: &str,
        behavior: Option<&str>,
    ) -> Result<RecordingResource, TwilioError> {
        let form = RequestForm::default()
            .with("Status", status)
            .with_some("PauseBehavior", behavior);
        let path = ["Calls", call.as_str(), "Recordings", which.as_str()];
        self.post(&path, form, RequestKind::Change).await
    }

    /// Fetches a recording.
    pub async fn fetch_recording(
        &self,
        sid: &RecordingSid,
    ) -> Result<RecordingResource, TwilioError> {
        self.get(self.url(&["Recordings", sid.as_str()], "json"))
            .await
    }

    /// Lists a call's recordings, the latest first.
    pub async fn list_recordings(
        &self,
        call: &CallSid,
    ) -> Result<Vec<RecordingResource>, TwilioError> {
        let path = ["Calls", call.as_str(), "Recordings"];
        self.list(&path, &[("PageSize", "50")], "recordings").await
    }

    /// Deletes a recording at Twilio, which keeps the metadata for 40 days. `Ok` if the recording does not
    /// exist.
    pub async fn delete_recording(&self, sid: &RecordingSid) -> Result<(), TwilioError> {
        let path = ["Recordings", sid.as_str()];
        match self
            .execute(&path, Method::DELETE, RequestForm::default())
            .await
        {
            Err(error) if error.is_not_found() => Ok(()),
            answer => answer,
        }
    }

    /// Fetches a leg.
    pub async fn fetch_call(&self, leg: &CallSid) -> Result<CallResource, TwilioError> {
        self.get(self.url(&["Calls", leg.as_str()], "json")).await
    }

    /// Lists the legs that a leg dialled.
    pub async fn list_child_calls(&self, leg: &CallSid) -> Result<Vec<CallResource>, TwilioError> {
        let query = [("ParentCallSid", leg.as_str()), ("PageSize", "50")];
        let mut legs: Vec<CallResource> = self.list(&["Calls"], &query, "calls").await?;
        legs.retain(|found| found.parent.as_ref() == Some(leg));
        legs.truncate(LEGS_PER_CALL_MAX);
        Ok(legs)
    }

    /// Deletes Twilio's record of a leg that has ended: its numbers and times leave the account's call log
    /// (<https://www.twilio.com/docs/voice/api/call-resource#delete-a-call-resource>). `Ok` if the record
    /// does not exist.
    pub async fn delete_call(&self, leg: &CallSid) -> Result<(), TwilioError> {
        let path = ["Calls", leg.as_str()];
        match self
            .execute(&path, Method::DELETE, RequestForm::default())
            .await
        {
            Err(error) if error.is_not_found() => Ok(()),
            answer => answer,
        }
    }

    /// Ends a call.
    pub async fn hang_up(&self, call: &CallSid) -> Result<(), TwilioError> {
        let form = RequestForm::default().with("Status", "completed");
        self.execute(&["Calls", call.as_str()], Method::POST, form)
            .await
    }

    /// Starts a Media Stream on a call in progress. If the response is lost, it is unknown whether the stream
    /// runs: stop it by its name, and start one with another name.
    pub async fn start_stream(
        &self,
        call: &CallSid,
        stream: &NewStream,
    ) -> Result<StreamSid, TwilioError> {
        if stream.parameters.len() > STREAM_PARAMETERS_MAX {
            return Err(TwilioError::InvalidRequest {
                reason: format!("a stream has at most {STREAM_PARAMETERS_MAX} parameters"),
            });
        }
        let mut form = RequestForm::default()
            .with("Url", &stream.url)
            .with("Name", &stream.name)
            .with("Track", stream.tracks.stream_value());
        if let Some(callback) = &stream.status_callback {
            form = form
                .with("StatusCallback", callback)
                .with("StatusCallbackMethod", "POST");
        }
        for (index, (name, value)) in stream.parameters.iter().enumerate() {
            let number = index + 1;
            form = form
                .with(format!("Parameter{number}.Name"), name)
                .with(format!("Parameter{number}.Value"), value);
        }
        let path = ["Calls", call.as_str(), "Streams"];
        let made: CreatedResource<StreamSid> = self.post(&path, form, RequestKind::Create).await?;
        Ok(made.sid)
    }

    /// Stops a Media Stream by its name or its SID.
    pub async fn stop_stream(&self, call: &CallSid, name_or_sid: &str) -> Result<(), TwilioError> {
        self.stop_resource(call, "Streams", name_or_sid).await
    }

    /// Starts a Real-Time Transcription by Twilio on a call in progress.
    pub async fn start_transcription(
        &self,
        call: &CallSid,
        new: &NewTranscription,
    ) -> Result<TranscriptionSid, TwilioError> {
        let form = RequestForm::default()
            .with("Name", &new.name)
            .with("Track", new.tracks.stream_value())
            .with("StatusCallbackUrl", &new.status_callback)
            .with("StatusCallbackMethod", "POST")
            .with("PartialResults", new.partial_results.to_string())
            .with_some("LanguageCode", new.language.as_deref());
        let path = ["Calls", call.as_str(), "Transcriptions"];
        let made: CreatedResource<TranscriptionSid> =
            self.post(&path, form, RequestKind::Create).await?;
        Ok(made.sid)
    }

    /// Stops a Real-Time Transcription by its name or its SID.
    pub async fn stop_transcription(
        &self,
        call: &CallSid,
        name_or_sid: &str,
    ) -> Result<(), TwilioError> {
        self.stop_resource(call, "Transcriptions", name_or_sid)
            .await
    }

    async fn stop_resource(
        &self,
        call: &CallSid,
        what: &str,
        name: &str,
    ) -> Result<(), TwilioError> {
        if name.is_empty() {
            return Err(TwilioError::InvalidRequest {
                reason: "the name or SID must not be empty".to_owned(),
            });
        }
        let form = RequestForm::default().with("Status", "stopped");
        self.execute(&["Calls", call.as_str(), what, name], Method::POST, form)
            .await
    }
}

fn deserialize_status<'de, D: Deserializer<'de>>(from: D) -> Result<RecordingStatus, D::Error> {
    Ok(match String::deserialize(from)?.as_str() {
        "in-progress" => RecordingStatus::InProgress,
        "paused" => RecordingStatus::Paused,
        "completed" => RecordingStatus::Completed,
        "absent" | "deleted" => RecordingStatus::Absent,
        "failed" => RecordingStatus::Failed,
        _ => RecordingStatus::Stopped,
    })
}

/// Deserialises a date that may be `null`; `None` also for a malformed date.
fn deserialize_time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<UtcTime>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    Ok(text.and_then(|text| UtcTime::parse(&text).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The response to a creation from Twilio's own API description, with the relevant fields.
    const CREATED: &str = r#"{
        "account_sid": "ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "conference_sid": null,
        "call_sid": "CAaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "channels": 2,
        "date_created": "Fri, 14 Oct 2016 21:56:34 +0000", "price": null, "duration": null,
        "start_time": "Fri, 14 Oct 2016 21:56:34 +0000", "error_code": null,
        "sid": "REaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "source": "StartCallRecordingAPI",
        "status": "in-progress", "encryption_details": null, "track": "both"
    }"#;

    fn read(change: (&str, &str)) -> RecordingResource {
        serde_json::from_str(&CREATED.replace(change.0, change.1)).unwrap()
    }

    #[test]
    fn a_recording_reads_as_twilio_writes_it() {
        let recording = read(("", ""));
        assert_eq!(recording.status, RecordingStatus::InProgress);
        assert_eq!(
            (recording.channels, recording.duration_seconds),
            (Some(2), None)
        );
        let began = UtcTime::parse("2016-10-14T21:56:34Z").unwrap();
        assert_eq!(recording.started_at, Some(began));
        for (word, status) in [
            ("paused", RecordingStatus::Paused),
            ("processing", RecordingStatus::Stopped),
            ("completed", RecordingStatus::Completed),
            ("deleted", RecordingStatus::Absent),
            ("a word of next year", RecordingStatus::Stopped),
        ] {
            assert_eq!(read(("in-progress", word)).status, status, "{word}");
        }
    }

    #[test]
    fn a_call_reads_as_twilio_writes_it() {
        let text = r#"{
            "sid": "CAaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "answered_by": "human",
            "parent_call_sid": "CAbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "status": "no-answer",
            "from": "+14155550100", "to": "client:u1_ada", "duration": "0", "price": null,
            "start_time": null, "end_time": "Fri, 18 Oct 2019 17:03:00 +0000"
        }"#;
        let call: CallResource = serde_json::from_str(text).unwrap();
        assert_eq!(call.status, CallStatus::NoAnswer);
        assert_eq!(call.parent.as_ref().unwrap().as_str()[..3], *"CAb");
        assert_eq!(call.duration_seconds, Some(0));
        assert_eq!(call.ended_at, UtcTime::parse("2019-10-18T17:03:00Z").ok());
        assert!(!format!("{call:?}").contains("4155550100"));
        let first = text.replace("\"CAbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\"", "null");
        let first = first.replace("\"+14155550100\"", "null");
        let call: CallResource = serde_json::from_str(&first).unwrap();
        assert_eq!((call.parent, call.from.as_str()), (None, ""));
    }

    #[test]
    fn numbers_come_as_numbers_as_text_and_not_at_all() {
        for (written, seconds) in [("\"4\"", Some(4)), ("4", Some(4)), ("\"-1\"", None)] {
            let change = format!("\"duration\": {written}");
            let recording = read(("\"duration\": null", &change));
            assert_eq!(recording.duration_seconds, seconds, "{written}");
        }
    }
}
