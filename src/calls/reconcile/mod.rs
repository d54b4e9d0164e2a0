//! Asks Twilio what it did not tell: whether a call is on, and what became of a recording. A
//! callback may be lost, late or wrong, so that what it would have said is asked for: at the start,
//! after the end of a media stream, and when nothing was heard of a call for long. The answer goes
//! the way of a callback, through the same merging of legs.
//!
//! Without an account, or while Twilio cannot be reached, time decides: a call is over when Twilio
//! must have ended it.

mod schedule;

use std::time::Duration;

use super::callbacks::party_of;
use super::{CallService, lock};
use crate::clock;
use crate::config::TranscriptionSource;
use crate::ids::{CallSid, RecordingSid};
use crate::limits;
use crate::store::{LegUpdate, Party, Recording, RecordingUpdate, StoreError, UnfinishedItems};
use crate::transcript::{CallStatus, RecordingStatus};
use crate::twilio::api::TwilioError;
use crate::twilio::api::calls::CallResource;
use crate::twilio::webhook::CallAddress;

pub use self::schedule::ReconcileIntervals;
pub(super) use self::schedule::{ReconcileSchedule, ReconcileSubject};

/// Why a call is over whose end was neither told nor could be asked for.
const END_UNKNOWN_CAUSE: &str = "end_unknown";

/// What is known of a call after a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallState {
    /// It is here.
    Active(CallStatus),
    /// It is over, or was never there.
    Ended,
    /// Twilio did not say, or the database did not keep it.
    Unknown,
}

impl CallService {
    /// Asks what is due, until the soft stop; begins with all that was not over when this server
    /// last ended.
    pub(crate) fn spawn_reconciler(&self) {
        let (service, stop) = (self.clone(), self.0.deps.tasks.clone());
        self.0.deps.tasks.spawn(async move {
            tokio::select! {
                () = service.reconcile() => {}
                () = stop.wait_for_stop() => {}
            }
        });
    }

    async fn reconcile(&self) {
        let mut look_at = clock::now();
        loop {
            if look_at <= clock::now() {
                self.schedule_unfinished().await;
                look_at = clock::now() + self.0.config.reconcile_intervals.silence_max;
            }
            while let Some(subject) = self.take_due() {
                match &subject {
                    ReconcileSubject::Call(call) => {
                        self.check_call(call).await;
                    }
                    ReconcileSubject::Recording(sid) => self.check_recording(sid).await,
                }
                clock::sleep_until(Some(
                    clock::now() + self.0.config.reconcile_intervals.request_gap,
                ))
                .await;
            }
            let next_at = lock(&self.0.schedule).next_at();
            tokio::select! {
                () = clock::sleep_until(Some(next_at.map_or(look_at, |at| at.min(look_at)))) => {}
                () = self.0.schedule_changed.notified() => {}
            }
        }
    }

    fn take_due(&self) -> Option<ReconcileSubject> {
        lock(&self.0.schedule).take_due(clock::now())
    }

    /// Enters all that is not finished, as far as the database and the gate know.
    async fn schedule_unfinished(&self) {
        let (now, date) = (clock::now(), clock::utc_now());
        let since = date.minus(limits::RECORDING_WAIT_MAX);
        let found = self
            .store()
            .unfinished_items(since, limits::OPEN_CALLS_MAX)
            .await;
        let found = found.unwrap_or_else(|error| {
            tracing::warn!(%error, "what is not finished could not be looked for");
            UnfinishedItems::default()
        });
        let mut schedule = lock(&self.0.schedule);
        // In this order: the latest calls first.
        let mut order = (0..).map(Duration::from_micros);
        let mut add = |subject, age| {
            let after = order.next().unwrap_or_default();
            schedule.add(subject, age, after, now);
        };
        for (call, age) in self.0.call_limiter.call_ages(now) {
            add(ReconcileSubject::Call(call), age);
        }
        for (call, began) in found.calls {
            add(ReconcileSubject::Call(call), date.since(began));
        }
        for (recording, ended) in found.recordings {
            add(ReconcileSubject::Recording(recording), date.since(ended));
        }
    }

    /// A call begins to ring.
    pub(super) fn schedule_ringing(&self, call: &CallSid) {
        let ring = Duration::from_secs(self.0.config.ring_seconds_max.into());
        lock(&self.0.schedule).on_ringing(call, ring, clock::now());
        self.0.schedule_changed.notify_one();
    }

    /// Something ended that ends with a call: if its end is not told, Twilio is asked.
    pub(super) fn schedule_end_check(&self, call: &CallSid) {
        lock(&self.0.schedule).on_end_hint(call, clock::now());
        self.0.schedule_changed.notify_one();
    }

    /// Asks Twilio where a call is, now, and takes in the answer.
    pub(super) async fn check_call(&self, call: &CallSid) -> CallState {
        let subject = ReconcileSubject::Call(call.clone());
        let state = match self.query_call(call).await {
            Ok(state) => state,
            Err(error) => {
                tracing::warn!(?call, %error, "what Twilio said of a call is not written down");
                CallState::Unknown
            }
        };
        match state {
            CallState::Active(status) => {
                tracing::debug!(?call, ?status, "Twilio says that the call is on");
                lock(&self.0.schedule).on_still_active(&subject, clock::now());
                if status == CallStatus::InProgress {
                    self.on_call_answered(call);
                }
            }
            CallState::Ended => {
                tracing::debug!(?call, "Twilio says that the call is over");
                self.release_call(call);
                lock(&self.0.stream_restarts).remove_call(call);
                lock(&self.0.schedule).remove(&subject);
            }
            CallState::Unknown => {
                let age = lock(&self.0.schedule).on_no_answer(&subject, clock::now());
                let is_too_old = age.is_some_and(|age| age >= self.call_duration_max());
                if is_too_old && !self.has_live_stream(call) {
                    self.assume_call_ended(call).await;
                }
            }
        }
        state
    }

    async fn query_call(&self, call: &CallSid) -> Result<CallState, StoreError> {
        let Ok(twilio) = self.twilio() else {
            return Ok(CallState::Unknown);
        };
        let legs = async {
            let parent = twilio.fetch_call(call).await?;
            let children = match &parent.parent {
                Some(_) => Vec::new(),
                None => twilio.list_child_calls(call).await?,
            };
            Ok::<_, TwilioError>((parent, children))
        };
        match legs.await {
            // The parent last: its end is the call's.
            Ok((parent, children)) => {
                for leg in children.iter().chain([&parent]) {
                    self.apply_leg_update(&leg_update(leg)).await?;
                }
                if let Some(its_parent) = &parent.parent {
                    self.schedule_end_check(its_parent);
                    return Ok(CallState::Ended);
                }
                let record = self.store().call_record(call).await?;
                let is_over = record.is_some_and(|record| record.status.is_over());
                Ok(if is_over || parent.status.is_over() {
                    CallState::Ended
                } else {
                    CallState::Active(parent.status)
                })
            }
            // Whatever Twilio knows of it, somebody talks.
            Err(error) if error.is_not_found() && self.has_live_stream(call) => {
                tracing::warn!(?call, %error, "a call whose audio arrives is not known to Twilio");
                Ok(CallState::Unknown)
            }
            Err(error) if error.is_not_found() => {
                if self.store().call_record(call).await?.is_some() {
                    self.mark_call_over(call).await?;
                }
                Ok(CallState::Ended)
            }
            Err(error) => {
                tracing::warn!(?call, %error, "Twilio does not say whether a call is over");
                Ok(CallState::Unknown)
            }
        }
    }

    /// Whether audio of the call arrives.
    pub(super) fn has_live_stream(&self, call: &CallSid) -> bool {
        self.0.config.transcription_source == TranscriptionSource::Whisper
            && self.0.deps.hub.has_open_stream(call)
    }

    /// Time from a call's beginning after which Twilio must have ended it.
    fn call_duration_max(&self) -> Duration {
        let config = &self.0.config;
        let (talk, ring) = (config.limits.call_seconds_max, config.ring_seconds_max);
        Duration::from_secs(u64::from(talk) + u64::from(ring)) + limits::ACTIVE_CALL_SLACK
    }

    /// Nobody could be asked, and the call is older than any can be.
    async fn assume_call_ended(&self, call: &CallSid) {
        tracing::warn!(
            ?call,
            "a call is older than Twilio lets it be, and Twilio could not be asked: it is over"
        );
        let ended = async {
            if self.store().call_record(call).await?.is_none() {
                return Ok(());
            }
            self.log_call_event(call, END_UNKNOWN_CAUSE, "Twilio could not be asked", None)
                .await;
            self.store().set_end_cause(call, END_UNKNOWN_CAUSE).await?;
            self.mark_call_over(call).await
        };
        match ended.await {
            Ok(()) => {
                self.release_call(call);
                lock(&self.0.schedule).remove(&ReconcileSubject::Call(call.clone()));
            }
            Err(error) => {
                tracing::warn!(?call, %error, "the end of a call is not written down");
            }
        }
    }

    /// The call is over: a recording of it runs no more, and is ready soon.
    pub(super) async fn stop_call_recording(&self, call: &CallSid) -> Result<(), StoreError> {
        let Some(recording) = self.store().latest_recording(call).await? else {
            return Ok(());
        };
        if recording.status.is_settled() {
            return Ok(());
        }
        let subject = ReconcileSubject::Recording(recording.sid.clone());
        self.mark_recording_stopped(recording).await?;
        let (after, now) = (
            self.0.config.reconcile_intervals.ringing_slack,
            clock::now(),
        );
        lock(&self.0.schedule).add(subject, Duration::ZERO, after, now);
        self.0.schedule_changed.notify_one();
        Ok(())
    }

    async fn mark_recording_stopped(&self, recording: Recording) -> Result<(), StoreError> {
        self.apply_recording_update(&RecordingUpdate {
            recording: Recording {
                status: RecordingStatus::Stopped,
                ..recording
            },
            token: None,
        })
        .await
    }

    /// Asks Twilio what became of a recording of a call that is over.
    async fn check_recording(&self, sid: &RecordingSid) {
        let subject = ReconcileSubject::Recording(sid.clone());
        match self.query_recording(sid).await {
            Ok(Some(true)) => lock(&self.0.schedule).remove(&subject),
            Ok(Some(false)) => lock(&self.0.schedule).on_still_active(&subject, clock::now()),
            Ok(None) | Err(_) => {
                let age = lock(&self.0.schedule).on_no_answer(&subject, clock::now());
                if age.is_some_and(|age| age >= limits::RECORDING_WAIT_MAX) {
                    tracing::warn!(recording = ?sid, "what became of a recording is not known");
                    lock(&self.0.schedule).remove(&subject);
                }
            }
        }
    }

    /// Whether the recording is settled; `None`: Twilio did not say.
    pub(super) async fn query_recording(
        &self,
        sid: &RecordingSid,
    ) -> Result<Option<bool>, StoreError> {
        let Some(known) = self.store().recording(sid).await? else {
            return Ok(Some(true)); // It was deleted.
        };
        let record = self.store().call_record(&known.call_sid).await?;
        if record.is_some_and(|record| record.status.is_over()) {
            self.mark_recording_stopped(known.clone()).await?;
        }
        let Ok(twilio) = self.twilio() else {
            return Ok(None);
        };
        let recording = match twilio.fetch_recording(sid).await {
            Ok(resource) => Recording {
                sid: resource.sid,
                call_sid: known.call_sid,
                status: resource.status,
                channels: resource.channels,
                duration_seconds: resource.duration_seconds,
                started_at: resource.started_at,
            },
            Err(error) if error.is_not_found() => Recording {
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
        self.apply_recording_update(&RecordingUpdate { recording, token })
            .await?;
        Ok(Some(is_settled))
    }
}

/// A leg as Twilio shows it, as a callback would have told it.
fn leg_update(leg: &CallResource) -> LegUpdate {
    let address = |text: &str| {
        CallAddress::parse(text)
            .as_ref()
            .map_or_else(Party::default, party_of)
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
