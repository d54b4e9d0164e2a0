//! What users ask of Twilio for a call: record it, end it, delete it. The answer is always what
//! Twilio says, never a guess.

use std::io;

use super::reconcile::Truth;
use super::{Desk, lock};
use crate::clock::{self, UtcTime};
use crate::ids::{CallSid, UserId};
use crate::limits;
use crate::store::StoreError;
use crate::store::{CallRecord, Recording, RecordingUpdate};
use crate::transcript::{CallStatus, Event, RecordingStatus};
use crate::twilio::rest::calls::{PauseBehavior, RecordingRef, RestRecording, StartRecording};
use crate::twilio::rest::{Rest, RestError};

/// What can be done with a call's recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Begin one, unless one runs.
    Start,
    /// End it.
    Stop,
    /// Hold it: the other party reads out a card's number.
    Pause,
    /// Go on.
    Resume,
}

impl Command {
    fn done(self) -> &'static str {
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
pub enum DeskError {
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
    Twilio(#[from] RestError),
    /// The database did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Calls are real here.
    #[error(
        "calls are not simulated here: without a Twilio account, set SIMULATE_TRANSCRIPTION=true"
    )]
    NoSimulation,
    /// One at a time.
    #[error("a simulated call goes on: watch that one, or wait for its end")]
    Simulating,
    /// The disk that calls' audio is kept on did not do it.
    #[error("the call's audio cannot be reached: {0}")]
    Archive(io::Error),
}

/// The right to command a call's recording, until it is dropped.
struct Turn<'a>(&'a Desk, CallSid);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        lock(&self.0.0.commanded).remove(&self.1);
    }
}

impl Desk {
    /// Starts, holds, or ends a call's recording. What is asked for twice is done once.
    pub async fn record(
        &self,
        call: &CallSid,
        command: Command,
        user: Option<UserId>,
    ) -> Result<Recording, DeskError> {
        let record = self.store().call_record(call).await?;
        let record = record.ok_or(DeskError::NoSuchCall)?;
        let rest = self.rest()?;
        let _turn = self.turn(call)?;
        let current = self.store().recording_of(call).await?;
        let running = current.as_ref().filter(|recording| is_running(recording));
        if record.status.is_over() {
            return Err(DeskError::CallIsOver);
        }
        let wanted = match command {
            Command::Start | Command::Resume => RecordingStatus::InProgress,
            Command::Pause => RecordingStatus::Paused,
            Command::Stop => RecordingStatus::Stopped,
        };
        match running {
            Some(running) if running.status == wanted => Ok(running.clone()),
            Some(running) => self.change(rest, command, running, user).await,
            None => match (command, current) {
                (Command::Start, _) => self.begin(rest, call, user).await,
                (Command::Stop, Some(stopped)) => Ok(stopped),
                (Command::Stop | Command::Pause | Command::Resume, _) => {
                    Err(DeskError::NotRecording)
                }
            },
        }
    }

    /// One command at a time for each call: two that start would make two recordings.
    fn turn(&self, call: &CallSid) -> Result<Turn<'_>, DeskError> {
        let taken = lock(&self.0.commanded).insert(call.clone());
        taken
            .then(|| Turn(self, call.clone()))
            .ok_or(DeskError::Busy)
    }

    async fn begin(
        &self,
        rest: &Rest,
        call: &CallSid,
        user: Option<UserId>,
    ) -> Result<Recording, DeskError> {
        let detail = self.store().call(call).await?;
        let known = detail.into_iter().flat_map(|detail| detail.recordings);
        let wanted = StartRecording {
            callback: Some(self.callback("/api/recordings/status")),
            known: known.map(|recording| recording.sid).collect(),
            ..StartRecording::default()
        };
        let started = match rest.start_recording(call, &wanted).await {
            Ok(started) => started,
            Err(error) if error.is_already_over() || error.is_gone() => {
                return Err(match self.ask_about(call).await {
                    Truth::Over => DeskError::CallIsOver,
                    Truth::On(CallStatus::InProgress) | Truth::Unknown => error.into(),
                    Truth::On(_) => DeskError::NotAnswered,
                });
            }
            Err(error) => return Err(error.into()),
        };
        self.settle(call, started, Command::Start, user).await
    }

    async fn change(
        &self,
        rest: &Rest,
        command: Command,
        running: &Recording,
        user: Option<UserId>,
    ) -> Result<Recording, DeskError> {
        let (call, which) = (&running.call_sid, RecordingRef::Sid(&running.sid));
        let changed = match command {
            Command::Stop => rest.stop_recording(call, which).await,
            Command::Pause => {
                rest.pause_recording(call, which, PauseBehavior::Silence)
                    .await
            }
            Command::Start | Command::Resume => rest.resume_recording(call, which).await,
        };
        let changed = match changed {
            Ok(changed) => changed,
            Err(error) if error.is_already_over() || error.is_gone() => {
                return self.stopped_elsewhere(command, running, error).await;
            }
            Err(error) => return Err(error.into()),
        };
        if changed.status == RecordingStatus::InProgress {
            self.store().resume_recording(&running.sid).await?;
        }
        self.settle(call, changed, command, user).await
    }

    /// Twilio refused a command because the call, or the recording, is not in progress (any more):
    /// finds out which, so that what is kept is right.
    async fn stopped_elsewhere(
        &self,
        command: Command,
        running: &Recording,
        refused: RestError,
    ) -> Result<Recording, DeskError> {
        if self.ask_about(&running.call_sid).await == Truth::Over {
            return Err(DeskError::CallIsOver);
        }
        self.find_out_recording(&running.sid).await?;
        let kept = self.store().recording(&running.sid).await?;
        match (kept, command) {
            (Some(kept), _) if is_running(&kept) => Err(refused.into()),
            (Some(kept), Command::Stop) => Ok(kept),
            (_, Command::Start | Command::Stop | Command::Pause | Command::Resume) => {
                Err(DeskError::NotRecording)
            }
        }
    }

    /// Keeps what Twilio answered, tells the page, and answers with what is kept.
    async fn settle(
        &self,
        call: &CallSid,
        answer: RestRecording,
        command: Command,
        user: Option<UserId>,
    ) -> Result<Recording, DeskError> {
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
            .apply_recording(&update, clock::utc_now())
            .await?;
        let kept = self
            .store()
            .recording(&recording.sid)
            .await?
            .unwrap_or(recording);
        self.tell(
            call,
            Event::Recording {
                status: kept.status,
            },
        );
        self.note(call, command.done(), "", user).await;
        tracing::info!(?call, ?user, status = ?kept.status, "recording {}", command.done());
        Ok(kept)
    }

    /// Ends the call at Twilio. One that is over already is no error.
    pub async fn hang_up(&self, call: &CallSid, user: Option<UserId>) -> Result<(), DeskError> {
        let record = self.store().call_record(call).await?;
        let record = record.ok_or(DeskError::NoSuchCall)?;
        if record.status.is_over() {
            return Ok(());
        }
        match self.rest()?.hang_up(call).await {
            Ok(()) => self.note(call, "hung_up", "", user).await,
            // The end of a call that may be ended in any state: it was missed.
            Err(error) if error.is_already_over() || error.is_gone() => {
                self.call_over(&record.sid).await?;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Deletes a call that is over, with its words and audio here and its recordings at Twilio. What
    /// Twilio has is deleted first, and the record last: a call that is gone here could not be
    /// asked about again. Of several that ask at once, one does it: the others hear
    /// [`DeskError::Busy`].
    pub async fn delete(&self, call: &CallSid, user: Option<UserId>) -> Result<(), DeskError> {
        self.delete_with(call, user, false).await
    }

    /// As [`Self::delete`], and what Twilio's call log keeps of the call's legs with it, if there is an
    /// account to ask.
    pub async fn erase(&self, call: &CallSid) -> Result<(), DeskError> {
        let has_account = self.0.tools.rest.is_some();
        self.delete_with(call, None, has_account).await
    }

    async fn delete_with(
        &self,
        call: &CallSid,
        user: Option<UserId>,
        with_legs: bool,
    ) -> Result<(), DeskError> {
        let detail = self.store().call(call).await?;
        let call = &detail.ok_or(DeskError::NoSuchCall)?.call.sid;
        let _turn = self.turn(call)?;
        // As it is now that nobody else deletes it.
        let detail = self.store().call(call).await?;
        let detail = detail.ok_or(DeskError::NoSuchCall)?;
        if self.goes_on(&detail.call) {
            return Err(DeskError::CallInProgress);
        }
        for recording in &detail.recordings {
            match self.rest()?.delete_recording(&recording.sid).await {
                Ok(()) => {}
                Err(error) if error.is_gone() => {}
                Err(error) => return Err(error.into()),
            }
        }
        for leg in detail.legs.iter().filter(|_| with_legs) {
            self.rest()?.delete_call(&leg.sid).await?;
        }
        self.delete_audio(call).await?;
        let deleted = self.store().delete_call(call, clock::utc_now()).await?;
        deleted.ok_or(DeskError::NoSuchCall)?;
        // Once more, for a stream that came in between; from now on no other does.
        self.delete_audio(call).await?;
        self.0.tools.hub.forget(call);
        self.log("call_deleted", call, user).await;
        Ok(())
    }

    /// Whether the call may still go on: deleted now, it would go on unseen. What Twilio never told
    /// the end of is over after the longest call; without an account, when nobody is heard any more.
    fn goes_on(&self, call: &CallRecord) -> bool {
        let oldest = clock::utc_now().minus(limits::CALL_TIME_MAX);
        let may_last = self.0.tools.rest.is_some() && call.started_at > oldest;
        self.0.gate.has(&call.sid, clock::now())
            || !call.status.is_over() && (may_last || self.0.tools.hub.knows(&call.sid))
    }

    /// Deletes calls that began before `time`, and audio that is older and of no call; says how many
    /// calls. One that cannot be deleted now is left for the next time.
    pub async fn delete_before(&self, time: UtcTime) -> usize {
        let calls = self.store().calls_before(time, limits::RETENTION_CALLS_MAX);
        let calls = calls.await.unwrap_or_else(|error| {
            tracing::error!(%error, "old calls could not be looked for");
            Vec::new()
        });
        let mut deleted = 0;
        for call in calls {
            match self.delete(&call, None).await {
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
    pub fn rest(&self) -> Result<&Rest, DeskError> {
        self.0.tools.rest.as_ref().ok_or(DeskError::NoAccount)
    }
}

fn is_running(recording: &Recording) -> bool {
    matches!(
        recording.status,
        RecordingStatus::InProgress | RecordingStatus::Paused
    )
}
