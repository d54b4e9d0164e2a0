//! What users ask of Twilio for a call: record it, end it, delete it. The answer is always what
//! Twilio says, never a guess.

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

/// What can be done with a call's recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordingCommand {
    /// Begin one, unless one runs.
    Start,
    /// End it.
    Stop,
    /// Hold it: the other party reads out a card's number.
    Pause,
    /// Go on.
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

/// Why something that a user asked for was not done.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// There is no account to ask.
    #[error("no Twilio account is set: set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN")]
    NoAccount,
    /// Nobody knows the call.
    #[error("there is no such call")]
    NoSuchCall,
    /// The call is over.
    #[error("the call is over")]
    CallIsOver,
    /// The call rings.
    #[error("nobody has answered the call yet: start the recording when somebody has")]
    NotAnswered,
    /// The call goes on.
    #[error("the call goes on: end it first")]
    CallInProgress,
    /// Another command for the same call is under way.
    #[error("the last command for this call is not done yet: try again")]
    Busy,
    /// There is nothing to hold, go on with, or end.
    #[error("this call is not being recorded")]
    NotRecording,
    /// Twilio refused, or was not reached.
    #[error(transparent)]
    Twilio(#[from] TwilioError),
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Calls are real here.
    #[error(
        "calls are not simulated here: without a Twilio account, set SIMULATE_TRANSCRIPTION=true"
    )]
    SimulationDisabled,
    /// One at a time.
    #[error("a simulated call goes on: watch that one, or wait for its end")]
    SimulationRunning,
    /// The disk that calls' audio is kept on did not do it.
    #[error("the call's audio cannot be reached: {0}")]
    Archive(io::Error),
}

/// The right to command a call's recording, until it is dropped.
struct CallLock<'a>(&'a CallService, CallSid);

impl Drop for CallLock<'_> {
    fn drop(&mut self) {
        lock(&self.0.0.locked_calls).remove(&self.1);
    }
}

impl CallService {
    /// Starts, holds, or ends a call's recording. What is asked for twice is done once.
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

    /// One command at a time for each call: two that start would make two recordings.
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

    /// Twilio refused a command because the call, or the recording, is not in progress (any more):
    /// finds out which, so that what is kept is right.
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

    /// Keeps what Twilio answered, tells the page, and answers with what is kept.
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

    /// Ends the call at Twilio. One that is over already is no error.
    pub async fn hang_up(&self, call: &CallSid, user: Option<UserId>) -> Result<(), CallError> {
        let record = self.store().call_record(call).await?;
        let record = record.ok_or(CallError::NoSuchCall)?;
        if record.status.is_over() {
            return Ok(());
        }
        match self.twilio()?.hang_up(call).await {
            Ok(()) => self.log_call_event(call, "hung_up", "", user).await,
            // The end of a call that may be ended in any state: it was missed.
            Err(error) if error.is_call_ended() || error.is_not_found() => {
                self.mark_call_over(&record.sid).await?;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Deletes a call that is over, with its words and audio here and its recordings at Twilio. What
    /// Twilio has is deleted first, and the record last: a call that is gone here could not be
    /// asked about again. Of several that ask at once, one does it: the others hear
    /// [`CallError::Busy`].
    pub async fn delete_call(&self, call: &CallSid, user: Option<UserId>) -> Result<(), CallError> {
        self.delete_call_with(call, user, false).await
    }

    /// As [`Self::delete_call`], and what Twilio's call log keeps of the call's legs with it, if there is an
    /// account to ask.
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
        // As it is now that nobody else deletes it.
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
        // Once more, for a stream that came in between; from now on no other does.
        self.delete_audio(call).await?;
        self.0.deps.hub.remove_call(call);
        self.audit_call_event("call_deleted", call, user).await;
        Ok(())
    }

    /// Whether the call may still go on: deleted now, it would go on unseen. What Twilio never told
    /// the end of is over after the longest call; without an account, when nobody is heard any more.
    fn may_be_active(&self, call: &CallRecord) -> bool {
        let oldest = clock::utc_now().minus(limits::CALL_TIME_MAX);
        let may_last = self.0.deps.twilio.is_some() && call.started_at > oldest;
        self.0.call_limiter.is_active(&call.sid, clock::now())
            || !call.status.is_over() && (may_last || self.0.deps.hub.has_events(&call.sid))
    }

    /// Deletes calls that began before `time`, and audio that is older and of no call; says how many
    /// calls. One that cannot be deleted now is left for the next time.
    pub async fn delete_calls_before(&self, time: UtcTime) -> usize {
        let calls = self.store().calls_before(time, limits::RETENTION_CALLS_MAX);
        let calls = calls.await.unwrap_or_else(|error| {
            tracing::error!(%error, "old calls could not be looked for");
            Vec::new()
        });
        let mut deleted = 0;
        for call in calls {
            match self.delete_call(&call, None).await {
                Ok(()) => deleted += 1,
                Err(error) => tracing::warn!(?call, %error, "an old call was not deleted"),
            }
        }
        if let Err(error) = self.sweep_audio(time).await {
            tracing::error!(%error, "old audio was not deleted");
        }
        deleted
    }

    /// Twilio's REST API.
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
