//! Asks Twilio what it did not tell: whether a call is on, and what became of a recording. A
//! callback may be lost, late or wrong, so that what it would have said is asked for: at the start,
//! after the end of a media stream, and when nothing was heard of a call for long. The answer goes
//! the way of a callback, through the same merging of legs.
//!
//! Without an account, or while Twilio cannot be reached, time decides: a call is over when Twilio
//! must have ended it.

mod schedule;

use std::time::Duration;

use super::callbacks::party;
use super::{Desk, lock};
use crate::clock;
use crate::config::TranscriptionSource;
use crate::ids::{CallSid, RecordingSid};
use crate::limits;
use crate::store::{LegUpdate, Party, Recording, RecordingUpdate, StoreError, Unfinished};
use crate::transcript::{CallStatus, RecordingStatus};
use crate::twilio::rest::RestError;
use crate::twilio::rest::calls::RestCall;
use crate::twilio::webhook::Address;

pub use self::schedule::Pace;
pub(super) use self::schedule::{Schedule, Subject};

/// Why a call is over whose end was neither told nor could be asked for.
const END_UNKNOWN: &str = "end_unknown";

/// What is known of a call after a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Truth {
    /// It is here.
    On(CallStatus),
    /// It is over, or was never there.
    Over,
    /// Twilio did not say, or the database did not keep it.
    Unknown,
}

impl Desk {
    /// Asks what is due, until the soft stop; begins with all that was not over when this server
    /// last ended.
    pub(crate) fn keep_reconciled(&self) {
        let (desk, stop) = (self.clone(), self.0.tools.tasks.clone());
        self.0.tools.tasks.spawn(async move {
            tokio::select! {
                () = desk.reconcile() => {}
                () = stop.stopping() => {}
            }
        });
    }

    async fn reconcile(&self) {
        let mut look_at = clock::now();
        loop {
            if look_at <= clock::now() {
                self.look_for_unfinished().await;
                look_at = clock::now() + self.0.config.pace.quiet_max;
            }
            while let Some(subject) = self.take_due() {
                match &subject {
                    Subject::Call(call) => {
                        self.ask_about(call).await;
                    }
                    Subject::Recording(sid) => self.ask_about_recording(sid).await,
                }
                clock::until(Some(clock::now() + self.0.config.pace.gap)).await;
            }
            let next_at = lock(&self.0.schedule).next_at();
            tokio::select! {
                () = clock::until(Some(next_at.map_or(look_at, |at| at.min(look_at)))) => {}
                () = self.0.due.notified() => {}
            }
        }
    }

    fn take_due(&self) -> Option<Subject> {
        lock(&self.0.schedule).take_due(clock::now())
    }

    /// Enters all that is not finished, as far as the database and the gate know.
    async fn look_for_unfinished(&self) {
        let (now, date) = (clock::now(), clock::utc_now());
        let since = date.minus(limits::RECORDING_WAIT_MAX);
        let found = self.store().unfinished(since, limits::OPEN_CALLS_MAX).await;
        let found = found.unwrap_or_else(|error| {
            tracing::warn!(%error, "what is not finished could not be looked for");
            Unfinished::default()
        });
        let mut schedule = lock(&self.0.schedule);
        // In this order: the latest calls first.
        let mut order = (0..).map(Duration::from_micros);
        let mut enter = |subject, age| {
            let after = order.next().unwrap_or_default();
            schedule.enter(subject, age, after, now);
        };
        for (call, age) in self.0.gate.ages(now) {
            enter(Subject::Call(call), age);
        }
        for (call, began) in found.calls {
            enter(Subject::Call(call), date.since(began));
        }
        for (recording, ended) in found.recordings {
            enter(Subject::Recording(recording), date.since(ended));
        }
    }

    /// A call begins to ring.
    pub(super) fn watch(&self, call: &CallSid) {
        let ring = Duration::from_secs(self.0.config.ring_seconds.into());
        lock(&self.0.schedule).rings(call, ring, clock::now());
        self.0.due.notify_one();
    }

    /// Something ended that ends with a call: if its end is not told, Twilio is asked.
    pub(super) fn may_be_over(&self, call: &CallSid) {
        lock(&self.0.schedule).may_be_over(call, clock::now());
        self.0.due.notify_one();
    }

    /// Asks Twilio where a call is, now, and takes in the answer.
    pub(super) async fn ask_about(&self, call: &CallSid) -> Truth {
        let subject = Subject::Call(call.clone());
        let truth = match self.find_out(call).await {
            Ok(truth) => truth,
            Err(error) => {
                tracing::warn!(?call, %error, "what Twilio said of a call is not written down");
                Truth::Unknown
            }
        };
        match truth {
            Truth::On(status) => {
                tracing::debug!(?call, ?status, "Twilio says that the call is on");
                lock(&self.0.schedule).goes_on(&subject, clock::now());
                if status == CallStatus::InProgress {
                    self.stream_answered(call);
                }
            }
            Truth::Over => {
                tracing::debug!(?call, "Twilio says that the call is over");
                self.release(call);
                lock(&self.0.restarts).forget(call);
                lock(&self.0.schedule).remove(&subject);
            }
            Truth::Unknown => {
                let age = lock(&self.0.schedule).unanswered(&subject, clock::now());
                let is_too_old = age.is_some_and(|age| age >= self.call_time_max());
                if is_too_old && !self.has_live_stream(call) {
                    self.give_up(call).await;
                }
            }
        }
        truth
    }

    async fn find_out(&self, call: &CallSid) -> Result<Truth, StoreError> {
        let Ok(rest) = self.rest() else {
            return Ok(Truth::Unknown);
        };
        let legs = async {
            let parent = rest.call(call).await?;
            let children = match &parent.parent {
                Some(_) => Vec::new(),
                None => rest.children_of(call).await?,
            };
            Ok::<_, RestError>((parent, children))
        };
        match legs.await {
            // The parent last: its end is the call's.
            Ok((parent, children)) => {
                for leg in children.iter().chain([&parent]) {
                    self.follow_leg(&update(leg)).await?;
                }
                if let Some(its_parent) = &parent.parent {
                    self.may_be_over(its_parent);
                    return Ok(Truth::Over);
                }
                let record = self.store().call_record(call).await?;
                let is_over = record.is_some_and(|record| record.status.is_over());
                Ok(if is_over || parent.status.is_over() {
                    Truth::Over
                } else {
                    Truth::On(parent.status)
                })
            }
            // Whatever Twilio knows of it, somebody talks.
            Err(error) if error.is_gone() && self.has_live_stream(call) => {
                tracing::warn!(?call, %error, "a call whose audio arrives is not known to Twilio");
                Ok(Truth::Unknown)
            }
            Err(error) if error.is_gone() => {
                if self.store().call_record(call).await?.is_some() {
                    self.call_over(call).await?;
                }
                Ok(Truth::Over)
            }
            Err(error) => {
                tracing::warn!(?call, %error, "Twilio does not say whether a call is over");
                Ok(Truth::Unknown)
            }
        }
    }

    /// Whether audio of the call arrives.
    pub(super) fn has_live_stream(&self, call: &CallSid) -> bool {
        self.0.config.source == TranscriptionSource::Whisper && self.0.tools.hub.is_carried(call)
    }

    /// Time from a call's beginning after which Twilio must have ended it.
    fn call_time_max(&self) -> Duration {
        let config = &self.0.config;
        let (talk, ring) = (config.limits.call_seconds_max, config.ring_seconds);
        Duration::from_secs(u64::from(talk) + u64::from(ring)) + limits::CALL_PLACE_SLACK
    }

    /// Nobody could be asked, and the call is older than any can be.
    async fn give_up(&self, call: &CallSid) {
        tracing::warn!(
            ?call,
            "a call is older than Twilio lets it be, and Twilio could not be asked: it is over"
        );
        let ended = async {
            if self.store().call_record(call).await?.is_none() {
                return Ok(());
            }
            self.note(call, END_UNKNOWN, "Twilio could not be asked", None)
                .await;
            self.store().set_end_cause(call, END_UNKNOWN).await?;
            self.call_over(call).await
        };
        match ended.await {
            Ok(()) => {
                self.release(call);
                lock(&self.0.schedule).remove(&Subject::Call(call.clone()));
            }
            Err(error) => {
                tracing::warn!(?call, %error, "the end of a call is not written down");
            }
        }
    }

    /// The call is over: a recording of it runs no more, and is ready soon.
    pub(super) async fn end_recording(&self, call: &CallSid) -> Result<(), StoreError> {
        let Some(recording) = self.store().recording_of(call).await? else {
            return Ok(());
        };
        if recording.status.is_settled() {
            return Ok(());
        }
        let subject = Subject::Recording(recording.sid.clone());
        self.stop_recording(recording).await?;
        let (after, now) = (self.0.config.pace.ringing_slack, clock::now());
        lock(&self.0.schedule).enter(subject, Duration::ZERO, after, now);
        self.0.due.notify_one();
        Ok(())
    }

    async fn stop_recording(&self, recording: Recording) -> Result<(), StoreError> {
        self.follow_recording(&RecordingUpdate {
            recording: Recording {
                status: RecordingStatus::Stopped,
                ..recording
            },
            token: None,
        })
        .await
    }

    /// Asks Twilio what became of a recording of a call that is over.
    async fn ask_about_recording(&self, sid: &RecordingSid) {
        let subject = Subject::Recording(sid.clone());
        match self.find_out_recording(sid).await {
            Ok(Some(true)) => lock(&self.0.schedule).remove(&subject),
            Ok(Some(false)) => lock(&self.0.schedule).goes_on(&subject, clock::now()),
            Ok(None) | Err(_) => {
                let age = lock(&self.0.schedule).unanswered(&subject, clock::now());
                if age.is_some_and(|age| age >= limits::RECORDING_WAIT_MAX) {
                    tracing::warn!(recording = ?sid, "what became of a recording is not known");
                    lock(&self.0.schedule).remove(&subject);
                }
            }
        }
    }

    /// Whether the recording is settled; `None`: Twilio did not say.
    pub(super) async fn find_out_recording(
        &self,
        sid: &RecordingSid,
    ) -> Result<Option<bool>, StoreError> {
        let Some(known) = self.store().recording(sid).await? else {
            return Ok(Some(true)); // It was deleted.
        };
        let record = self.store().call_record(&known.call_sid).await?;
        if record.is_some_and(|record| record.status.is_over()) {
            self.stop_recording(known.clone()).await?;
        }
        let Ok(rest) = self.rest() else {
            return Ok(None);
        };
        let recording = match rest.recording(sid).await {
            Ok(told) => Recording {
                sid: told.sid,
                call_sid: known.call_sid,
                status: told.status,
                channels: told.channels,
                duration_seconds: told.duration_seconds,
                started_at: told.started_at,
            },
            Err(error) if error.is_gone() => Recording {
                status: RecordingStatus::Absent,
                ..known
            },
            Err(error) => {
                tracing::warn!(recording = ?sid, %error, "Twilio does not say what became of a recording");
                return Ok(None);
            }
        };
        let is_settled = recording.status.is_settled();
        let token = None;
        self.follow_recording(&RecordingUpdate { recording, token })
            .await?;
        Ok(Some(is_settled))
    }
}

/// A leg as Twilio shows it, as a callback would have told it.
fn update(leg: &RestCall) -> LegUpdate {
    let address = |text: &str| {
        Address::parse(text)
            .as_ref()
            .map_or_else(Party::default, party)
    };
    let is_over = leg.status.is_over();
    LegUpdate {
        parent: leg.parent.clone(),
        at: leg.ended_at.filter(|_| is_over),
        duration_seconds: leg
            .duration_seconds
            .filter(|_| leg.status == CallStatus::Completed),
        parties: Some((address(&leg.from), address(&leg.to))),
        ..LegUpdate::new(&leg.sid, leg.status)
    }
}
