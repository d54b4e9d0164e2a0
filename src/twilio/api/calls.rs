//! What is done to a call while it lasts: recorded, streamed, transcribed, ended; and what becomes
//! of its recordings.
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

/// How a call is to be recorded.
#[derive(Debug, Clone, Default)]
pub struct StartRecording {
    /// Where Twilio tells what becomes of it: an absolute URL.
    pub callback: Option<String>,
    /// Whether both parties share one channel; else each has its own.
    pub mono: bool,
    /// Whose voices.
    pub tracks: TrackSelection,
    /// Whether silence at both ends is cut off.
    pub trim_silence: bool,
    /// The call's recordings that are known already: when the answer is lost, one of Twilio's
    /// that is not among them is the one that was asked for.
    pub known: Vec<RecordingSid>,
}

/// Which recording of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordingRef<'a> {
    /// This one.
    Sid(&'a RecordingSid),
    /// The one that runs; Twilio refuses if several do.
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

/// What a held recording has where it was held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PauseBehavior {
    /// Silence: times in the recording are times of the call.
    #[default]
    Silence,
    /// Nothing: the recording is shorter than the call.
    Skip,
}

/// A recording as Twilio describes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RecordingResource {
    /// Its SID.
    pub sid: RecordingSid,
    /// The call.
    pub call_sid: CallSid,
    /// Where it is. Twilio shows a running or held one that is looked up as `processing`, which is
    /// [`RecordingStatus::Stopped`] here; so is a word that this program does not know.
    #[serde(deserialize_with = "deserialize_status")]
    pub status: RecordingStatus,
    /// Channels: 2 when each party has its own.
    #[serde(default, deserialize_with = "deserialize_number")]
    pub channels: Option<u8>,
    /// Its length, once known.
    #[serde(default, rename = "duration", deserialize_with = "deserialize_number")]
    pub duration_seconds: Option<u32>,
    /// When it began.
    #[serde(default, rename = "start_time", deserialize_with = "deserialize_time")]
    pub started_at: Option<UtcTime>,
    /// What began it: `StartCallRecordingAPI`, `DialVerb`, ….
    #[serde(default)]
    pub source: Option<String>,
    /// Why it is [`RecordingStatus::Absent`].
    #[serde(default, deserialize_with = "deserialize_number")]
    pub error_code: Option<u32>,
}

/// A leg of a call as Twilio describes it. `Debug` shows no number.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct CallResource {
    /// Its SID.
    pub sid: CallSid,
    /// The leg that dialled it; none: it is the call's first.
    #[serde(default, rename = "parent_call_sid")]
    pub parent: Option<CallSid>,
    /// Where it is.
    pub status: CallStatus,
    /// Who calls.
    #[serde(default, deserialize_with = "deserialize_text")]
    pub from: String,
    /// Who is called.
    #[serde(default, deserialize_with = "deserialize_text")]
    pub to: String,
    /// Seconds that it lasted, once it is over.
    #[serde(default, rename = "duration", deserialize_with = "deserialize_number")]
    pub duration_seconds: Option<u32>,
    /// When it ended.
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

/// A Media Stream to be started. No `Debug`: its address or parameters hold the stream's secret.
pub struct NewStream {
    /// Where the audio goes: `wss://…`, without a query, which Twilio drops.
    pub url: String,
    /// Unique within the call; it can be stopped by it.
    pub name: String,
    /// Whose voices.
    pub tracks: TrackSelection,
    /// Where Twilio tells what becomes of it: an absolute URL.
    pub status_callback: Option<String>,
    /// Come back in the stream's `start` message, up to [`STREAM_PARAMETERS_MAX`].
    pub parameters: Vec<(String, String)>,
}

/// A Real-Time Transcription to be started.
#[derive(Debug, Clone)]
pub struct NewTranscription {
    /// Unique within the call; it can be stopped by it.
    pub name: String,
    /// Where the words go: an absolute URL.
    pub status_callback: String,
    /// Whose voices.
    pub tracks: TrackSelection,
    /// What is spoken, as `en-US`.
    pub language: Option<String>,
    /// Whether unfinished sentences are told too.
    pub partial_results: bool,
}

/// What a thing that has just been made says of itself.
#[derive(Deserialize)]
struct CreatedResource<S> {
    sid: S,
}

impl TwilioClient {
    /// Starts to record a call that is in progress. If the answer is lost, the recording is looked
    /// for instead of being asked for twice.
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

    /// The recording that was asked for, if it was made although the answer was lost.
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
        // Nothing stops a recording that nobody knows, so it runs, whatever the list calls it.
        let mut ours = ours.max_by_key(|recording| recording.started_at)?;
        ours.status = RecordingStatus::InProgress;
        Some(ours)
    }

    /// Ends a recording; its sound is ready some time later.
    pub async fn stop_recording(
        &self,
        call: &CallSid,
        which: RecordingRef<'_>,
    ) -> Result<RecordingResource, TwilioError> {
        self.update_recording(call, which, "stopped", None).await
    }

    /// Holds a recording.
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

    /// Goes on with a recording that was held.
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

    /// One recording as it is now.
    pub async fn fetch_recording(
        &self,
        sid: &RecordingSid,
    ) -> Result<RecordingResource, TwilioError> {
        self.get(self.url(&["Recordings", sid.as_str()], "json"))
            .await
    }

    /// A call's recordings, the latest first.
    pub async fn list_recordings(
        &self,
        call: &CallSid,
    ) -> Result<Vec<RecordingResource>, TwilioError> {
        let path = ["Calls", call.as_str(), "Recordings"];
        self.list(&path, &[("PageSize", "50")], "recordings").await
    }

    /// Deletes a recording at Twilio, which keeps what it knows of it for 40 days. One that is not
    /// there is deleted.
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

    /// A leg of a call as it is now.
    pub async fn fetch_call(&self, leg: &CallSid) -> Result<CallResource, TwilioError> {
        self.get(self.url(&["Calls", leg.as_str()], "json")).await
    }

    /// The legs that a leg dialled.
    pub async fn list_child_calls(&self, leg: &CallSid) -> Result<Vec<CallResource>, TwilioError> {
        let query = [("ParentCallSid", leg.as_str()), ("PageSize", "50")];
        let mut legs: Vec<CallResource> = self.list(&["Calls"], &query, "calls").await?;
        legs.retain(|found| found.parent.as_ref() == Some(leg));
        legs.truncate(LEGS_PER_CALL_MAX);
        Ok(legs)
    }

    /// Deletes what Twilio keeps of a leg that is over: its numbers and times leave the account's call log
    /// (<https://www.twilio.com/docs/voice/api/call-resource#delete-a-call-resource>). One that is not
    /// there is deleted.
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

    /// Starts a Media Stream on a call that is in progress. When the answer is lost, nothing tells
    /// whether it runs: stop it by its name, and start one of another name.
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

    /// Ends a Media Stream, given by its name or its SID.
    pub async fn stop_stream(&self, call: &CallSid, name_or_sid: &str) -> Result<(), TwilioError> {
        self.stop_resource(call, "Streams", name_or_sid).await
    }

    /// Has Twilio itself write down a call that is in progress.
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

    /// Ends a Real-Time Transcription, given by its name or its SID.
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
                reason: "what is to be stopped has a name".to_owned(),
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

/// A date that may be `null`; one that cannot be read is none.
fn deserialize_time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<UtcTime>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    Ok(text.and_then(|text| UtcTime::parse(&text).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer to a create in Twilio's own description, with the fields that matter kept.
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
