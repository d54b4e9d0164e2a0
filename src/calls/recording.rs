//! Users' commands for a call's recording. The result always reflects Twilio's response, never a guess.

use super::CallService;
use super::error::CallError;
use super::reconcile::CallState;
use crate::clock;
use crate::ids::{CallSid, UserId};
use crate::store::{Recording, RecordingUpdate};
use crate::transcript::{CallStatus, Event, RecordingStatus};
use crate::twilio::api::calls::{PauseBehavior, RecordingRef, RecordingResource, StartRecording};
use crate::twilio::api::{TwilioClient, TwilioError};

/// Command for a call's recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordingCommand {
    /// Starts a recording, unless one is running.
    Start,
    Stop,
    /// Pauses the recording, for example while the other party reads out a card number.
    Pause,
    Resume,
}

impl RecordingCommand {
    fn event_kind(self) -> &'static str {
        match self {
            Self::Start => "recording_started",
            Self::Stop => "recording_stopped",
            Self::Pause => "recording_paused",
            Self::Resume => "recording_resumed",
        }
    }
}

impl CallService {
    /// Starts, pauses, resumes or stops a call's recording. A repeated command has no effect.
    pub async fn command_recording(
        &self,
        call: &CallSid,
        command: RecordingCommand,
        user: Option<UserId>,
    ) -> Result<Recording, CallError> {
        let record = self.store().call_record(call).await?;
        let record = record.ok_or(CallError::NoSuchCall)?;
        let twilio = self.twilio()?;
        let _call_lock = self.lock_call(call)?;
        let latest = self.store().latest_recording(call).await?;
        let active = latest.as_ref().filter(|recording| is_active(recording));
        if record.status.is_over() {
            return Err(CallError::CallIsOver);
        }
        let target_status = match command {
            RecordingCommand::Start | RecordingCommand::Resume => RecordingStatus::InProgress,
            RecordingCommand::Pause => RecordingStatus::Paused,
            RecordingCommand::Stop => RecordingStatus::Stopped,
        };
        match active {
            Some(active) if active.status == target_status => Ok(active.clone()),
            Some(active) => self.change_recording(twilio, command, active, user).await,
            None => match (command, latest) {
                (RecordingCommand::Start, _) => self.start_recording(twilio, call, user).await,
                (RecordingCommand::Stop, Some(stopped)) => Ok(stopped),
                (
                    RecordingCommand::Stop | RecordingCommand::Pause | RecordingCommand::Resume,
                    _,
                ) => Err(CallError::NotRecording),
            },
        }
    }

    async fn start_recording(
        &self,
        twilio: &TwilioClient,
        call: &CallSid,
        user: Option<UserId>,
    ) -> Result<Recording, CallError> {
        let detail = self.store().call_detail(call).await?;
        let known = detail.into_iter().flat_map(|detail| detail.recordings);
        let target_status = StartRecording {
            callback: Some(self.callback_url("/api/recordings/status")),
            known: known.map(|recording| recording.sid).collect(),
            ..StartRecording::default()
        };
        let started = match twilio.start_recording(call, &target_status).await {
            Ok(started) => started,
            Err(error) if error.is_call_ended() || error.is_not_found() => {
                return Err(match self.check_call(call).await {
                    CallState::Ended => CallError::CallIsOver,
                    CallState::Active(CallStatus::InProgress) | CallState::Unknown => error.into(),
                    CallState::Active(_) => CallError::NotAnswered,
                });
            }
            Err(error) => return Err(error.into()),
        };
        self.save_recording(call, started, RecordingCommand::Start, user)
            .await
    }

    async fn change_recording(
        &self,
        twilio: &TwilioClient,
        command: RecordingCommand,
        active: &Recording,
        user: Option<UserId>,
    ) -> Result<Recording, CallError> {
        let (call, which) = (&active.call_sid, RecordingRef::Sid(&active.sid));
        let changed = match command {
            RecordingCommand::Stop => twilio.stop_recording(call, which).await,
            RecordingCommand::Pause => {
                twilio
                    .pause_recording(call, which, PauseBehavior::Silence)
                    .await
            }
            RecordingCommand::Start | RecordingCommand::Resume => {
                twilio.resume_recording(call, which).await
            }
        };
        let changed = match changed {
            Ok(changed) => changed,
            Err(error) if error.is_call_ended() || error.is_not_found() => {
                return self.resolve_refused_command(command, active, error).await;
            }
            Err(error) => return Err(error.into()),
        };
        if changed.status == RecordingStatus::InProgress {
            self.store().resume_recording(&active.sid).await?;
        }
        self.save_recording(call, changed, command, user).await
    }

    /// Resolves a command that Twilio refused because the call, or the recording, is not in progress (any
    /// more): queries Twilio for the cause, and saves the current state.
    async fn resolve_refused_command(
        &self,
        command: RecordingCommand,
        active: &Recording,
        refused: TwilioError,
    ) -> Result<Recording, CallError> {
        if self.check_call(&active.call_sid).await == CallState::Ended {
            return Err(CallError::CallIsOver);
        }
        self.query_recording(&active.sid).await?;
        let kept = self.store().recording(&active.sid).await?;
        match (kept, command) {
            (Some(kept), _) if is_active(&kept) => Err(refused.into()),
            (Some(kept), RecordingCommand::Stop) => Ok(kept),
            (
                _,
                RecordingCommand::Start
                | RecordingCommand::Stop
                | RecordingCommand::Pause
                | RecordingCommand::Resume,
            ) => Err(CallError::NotRecording),
        }
    }

    /// Saves Twilio's response, publishes the recording's status, and returns the stored recording.
    async fn save_recording(
        &self,
        call: &CallSid,
        answer: RecordingResource,
        command: RecordingCommand,
        user: Option<UserId>,
    ) -> Result<Recording, CallError> {
        let recording = Recording {
            sid: answer.sid,
            call_sid: call.clone(),
            status: answer.status,
            channels: answer.channels,
            duration_seconds: answer.duration_seconds,
            started_at: answer.started_at,
        };
        let token = None;
        let update = RecordingUpdate {
            recording: recording.clone(),
            token,
        };
        self.store()
            .apply_recording_update(&update, clock::utc_now())
            .await?;
        let kept = self
            .store()
            .recording(&recording.sid)
            .await?
            .unwrap_or(recording);
        self.publish(
            call,
            Event::Recording {
                status: kept.status,
            },
        );
        self.log_call_event(call, command.event_kind(), "", user)
            .await;
        tracing::info!(?call, ?user, status = ?kept.status, "recording {}", command.event_kind());
        Ok(kept)
    }
}

fn is_active(recording: &Recording) -> bool {
    matches!(
        recording.status,
        RecordingStatus::InProgress | RecordingStatus::Paused
    )
}
