//! Users' commands for a call: record it, hang up, delete it. The result always reflects Twilio's response,
//! never a guess.

use std::io;

use super::reconcile::CallState;
use super::{CallService, lock};
use crate::clock::{self, UtcTime};
use crate::ids::{CallSid, UserId};
use crate::limits;
use crate::store::StoreError;
use crate::store::{CallRecord, Recording, RecordingUpdate};
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

/// Error of a user's command for a call.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No Twilio account is configured.
    #[error("no Twilio account is configured: set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN")]
    NoAccount,
    /// No call has this SID.
    #[error("there is no such call")]
    NoSuchCall,
    /// The call has ended.
    #[error("the call is over")]
    CallIsOver,
    /// The call is ringing.
    #[error("the call is not answered: start the recording after the answer")]
    NotAnswered,
    /// The call is in progress.
    #[error("the call is in progress: end it first")]
    CallInProgress,
    /// Another command for the same call is in progress.
    #[error("the previous command for this call is in progress: try again")]
    Busy,
    /// There is no recording to pause, resume or stop.
    #[error("this call is not being recorded")]
    NotRecording,
    /// Twilio refused the request, or could not be reached.
    #[error(transparent)]
    Twilio(#[from] TwilioError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The server has no media socket for simulated calls.
    #[error(
        "simulated calls are disabled: without a Twilio account, set SIMULATE_TRANSCRIPTION=true"
    )]
    SimulationDisabled,
    /// Only one simulated call may run at a time.
    #[error("a simulated call is in progress: watch it, or wait for its end")]
    SimulationRunning,
    /// The archive of call audio failed.
    #[error("the archive of call audio failed: {0}")]
    Archive(io::Error),
}

/// Exclusive right to command a call's recording or to delete the call; released on drop.
struct CallLock<'a>(&'a CallService, CallSid);

impl Drop for CallLock<'_> {
    fn drop(&mut self) {
        lock(&self.0.0.locked_calls).remove(&self.1);
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

    /// Locks a call, so that two concurrent starts cannot make two recordings; [`CallError::Busy`] if it is
    /// locked.
    fn lock_call(&self, call: &CallSid) -> Result<CallLock<'_>, CallError> {
        let taken = lock(&self.0.locked_calls).insert(call.clone());
        taken
            .then(|| CallLock(self, call.clone()))
            .ok_or(CallError::Busy)
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

    /// Hangs up the call at Twilio. A call that is already over is not an error.
    pub async fn hang_up(&self, call: &CallSid, user: Option<UserId>) -> Result<(), CallError> {
        let record = self.store().call_record(call).await?;
        let record = record.ok_or(CallError::NoSuchCall)?;
        if record.status.is_over() {
            return Ok(());
        }
        match self.twilio()?.hang_up(call).await {
            Ok(()) => self.log_call_event(call, "hung_up", "", user).await,
            // A call can be ended in any state, so the call is over and its status callback was missed.
            Err(error) if error.is_call_ended() || error.is_not_found() => {
                self.mark_call_over(&record.sid).await?;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Deletes a call that is over, with its transcript and archive here and its recordings at Twilio.
    /// Twilio's recordings are deleted first and the record last, because without the record, a failed
    /// deletion could not be retried. Of concurrent deletions one proceeds: the others return
    /// [`CallError::Busy`].
    pub async fn delete_call(&self, call: &CallSid, user: Option<UserId>) -> Result<(), CallError> {
        self.delete_call_with(call, user, false).await
    }

    /// As [`Self::delete_call`], and also deletes the call's legs from Twilio's call log, if an account is
    /// configured.
    pub async fn erase_call(&self, call: &CallSid) -> Result<(), CallError> {
        let has_account = self.0.deps.twilio.is_some();
        self.delete_call_with(call, None, has_account).await
    }

    async fn delete_call_with(
        &self,
        call: &CallSid,
        user: Option<UserId>,
        with_legs: bool,
    ) -> Result<(), CallError> {
        let detail = self.store().call_detail(call).await?;
        let call = &detail.ok_or(CallError::NoSuchCall)?.call.sid;
        let _call_lock = self.lock_call(call)?;
        // Read again under the lock, which excludes other deletions.
        let detail = self.store().call_detail(call).await?;
        let detail = detail.ok_or(CallError::NoSuchCall)?;
        if self.may_be_active(&detail.call) {
            return Err(CallError::CallInProgress);
        }
        for recording in &detail.recordings {
            match self.twilio()?.delete_recording(&recording.sid).await {
                Ok(()) => {}
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
        }
        for leg in detail.legs.iter().filter(|_| with_legs) {
            self.twilio()?.delete_call(&leg.sid).await?;
        }
        self.delete_audio(call).await?;
        let deleted = self.store().delete_call(call, clock::utc_now()).await?;
        deleted.ok_or(CallError::NoSuchCall)?;
        // Repeated for a stream that opened in between; none can open now.
        self.delete_audio(call).await?;
        self.0.deps.hub.remove_call(call);
        self.audit_call_event("call_deleted", call, user).await;
        Ok(())
    }

    /// Whether the call may be in progress; a deleted call would continue unseen. A call without a reported
    /// end counts as over after the longest possible call or, without an account, when it has no events.
    fn may_be_active(&self, call: &CallRecord) -> bool {
        let oldest = clock::utc_now().minus(limits::CALL_TIME_MAX);
        let may_last = self.0.deps.twilio.is_some() && call.started_at > oldest;
        self.0.call_limiter.is_active(&call.sid, clock::now())
            || !call.status.is_over() && (may_last || self.0.deps.hub.has_events(&call.sid))
    }

    /// Deletes calls that started before `time`, and older audio without a call; returns the number of
    /// deleted calls. A call that cannot be deleted now is left for the next run.
    pub async fn delete_calls_before(&self, time: UtcTime) -> usize {
        let calls = self.store().calls_before(time, limits::RETENTION_CALLS_MAX);
        let calls = calls.await.unwrap_or_else(|error| {
            tracing::error!(%error, "could not list old calls");
            Vec::new()
        });
        let mut deleted = 0;
        for call in calls {
            match self.delete_call(&call, None).await {
                Ok(()) => deleted += 1,
                Err(error) => tracing::warn!(?call, %error, "could not delete an old call"),
            }
        }
        if let Err(error) = self.sweep_audio(time).await {
            tracing::error!(%error, "could not delete old audio");
        }
        deleted
    }

    /// Returns the client of Twilio's REST API; [`CallError::NoAccount`] without an account.
    pub fn twilio(&self) -> Result<&TwilioClient, CallError> {
        self.0.deps.twilio.as_ref().ok_or(CallError::NoAccount)
    }
}

fn is_active(recording: &Recording) -> bool {
    matches!(
        recording.status,
        RecordingStatus::InProgress | RecordingStatus::Paused
    )
}
