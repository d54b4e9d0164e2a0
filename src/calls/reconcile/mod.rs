//! Reconciles calls and recordings with Twilio: whether a call is in progress, and the status of a recording.
//! A status callback may be lost, late or wrong, so the server queries Twilio at the start, after the end of
//! a media stream, and after a long time without news of a call. The response is applied like a callback,
//! through the same merging of legs.
//!
//! Without an account, or while Twilio cannot be reached, time decides: a call is over when it is older than
//! Twilio lets a call be.

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

/// End cause of a call that ended without a callback and without a response from Twilio.
const END_UNKNOWN_CAUSE: &str = "end_unknown";

/// State of a call after a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallState {
    /// The call is in progress.
    Active(CallStatus),
    /// The call is over, or never existed.
    Ended,
    /// Twilio did not respond, or the database did not save the response.
    Unknown,
}

impl CallService {
    /// Runs the due queries until the soft stop, starting with everything that was unfinished when this
    /// server last ended.
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

    /// Schedules everything unfinished that the database and the call limiter know of.
    async fn schedule_unfinished(&self) {
        let (now, date) = (clock::now(), clock::utc_now());
        let since = date.minus(limits::RECORDING_WAIT_MAX);
        let found = self
            .store()
            .unfinished_items(since, limits::OPEN_CALLS_MAX)
            .await;
        let found = found.unwrap_or_else(|error| {
            tracing::warn!(%error, "could not list unfinished calls and recordings");
            UnfinishedItems::default()
        });
        let mut schedule = lock(&self.0.schedule);
        // In the order of insertion: the latest calls first.
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

    /// Schedules a query for a call that starts to ring.
    pub(super) fn schedule_ringing(&self, call: &CallSid) {
        let ring = Duration::from_secs(self.0.config.ring_seconds_max.into());
        lock(&self.0.schedule).on_ringing(call, ring, clock::now());
        self.0.schedule_changed.notify_one();
    }

    /// Schedules a query for a call that has probably ended: Twilio is queried unless a callback reports the
    /// end first.
    pub(super) fn schedule_end_check(&self, call: &CallSid) {
        lock(&self.0.schedule).on_end_hint(call, clock::now());
        self.0.schedule_changed.notify_one();
    }

    /// Queries Twilio for a call's status now, and applies the response.
    pub(super) async fn check_call(&self, call: &CallSid) -> CallState {
        let subject = ReconcileSubject::Call(call.clone());
        let state = match self.query_call(call).await {
            Ok(state) => state,
            Err(error) => {
                tracing::warn!(?call, %error, "could not save Twilio's status of a call");
                CallState::Unknown
            }
        };
        match state {
            CallState::Active(status) => {
                tracing::debug!(
                    ?call,
                    ?status,
                    "Twilio reports that the call is in progress"
                );
                lock(&self.0.schedule).on_still_active(&subject, clock::now());
                if status == CallStatus::InProgress {
                    self.on_call_answered(call);
                }
            }
            CallState::Ended => {
                tracing::debug!(?call, "Twilio reports that the call is over");
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
            // The parent last, because its end is the call's end.
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
            // Audio arrives, so the call is in progress, whatever Twilio reports.
            Err(error) if error.is_not_found() && self.has_live_stream(call) => {
                tracing::warn!(?call, %error, "Twilio does not know a call with an open media stream");
                Ok(CallState::Unknown)
            }
            Err(error) if error.is_not_found() => {
                if self.store().call_record(call).await?.is_some() {
                    self.mark_call_over(call).await?;
                }
                Ok(CallState::Ended)
            }
            Err(error) => {
                tracing::warn!(?call, %error, "could not query Twilio for a call");
                Ok(CallState::Unknown)
            }
        }
    }

    /// Whether a media stream of the call is open.
    pub(super) fn has_live_stream(&self, call: &CallSid) -> bool {
        self.0.config.transcription_source == TranscriptionSource::Whisper
            && self.0.deps.hub.has_open_stream(call)
    }

    /// Returns the time from a call's start after which Twilio must have ended it.
    fn call_duration_max(&self) -> Duration {
        let config = &self.0.config;
        let (talk, ring) = (config.limits.call_seconds_max, config.ring_seconds_max);
        Duration::from_secs(u64::from(talk) + u64::from(ring)) + limits::ACTIVE_CALL_SLACK
    }

    /// Marks a call as over when Twilio could not be queried and the call is older than Twilio lets a call
    /// be.
    async fn assume_call_ended(&self, call: &CallSid) {
        tracing::warn!(
            ?call,
            "a call is older than Twilio lets it be, and Twilio could not be queried: it is over"
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
                tracing::warn!(?call, %error, "could not save the end of a call");
            }
        }
    }

    /// Marks the recording of an ended call as stopped, and schedules a query, since Twilio completes it
    /// soon.
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

    /// Queries Twilio for the recording of a call that is over.
    async fn check_recording(&self, sid: &RecordingSid) {
        let subject = ReconcileSubject::Recording(sid.clone());
        match self.query_recording(sid).await {
            Ok(Some(true)) => lock(&self.0.schedule).remove(&subject),
            Ok(Some(false)) => lock(&self.0.schedule).on_still_active(&subject, clock::now()),
            Ok(None) | Err(_) => {
                let age = lock(&self.0.schedule).on_no_answer(&subject, clock::now());
                if age.is_some_and(|age| age >= limits::RECORDING_WAIT_MAX) {
                    tracing::warn!(recording = ?sid, "gave up querying Twilio for a recording");
                    lock(&self.0.schedule).remove(&subject);
                }
            }
        }
    }

    /// Queries Twilio for a recording and saves the response. Returns whether the recording is settled;
    /// `None` if Twilio did not respond.
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
                tracing::warn!(recording = ?sid, %error, "could not query Twilio for a recording");
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

/// Converts a leg from Twilio's REST API into the update that its status callback would have carried.
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
