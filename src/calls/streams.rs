//! Media streams: admits media sockets, and restarts a stream that breaks during a call. Twilio does not
//! reconnect by itself, so the server starts a new stream under a new name, and its transcript continues the
//! call's transcript.
//!
//! A call's streams are numbered from 1, the one in the TwiML of `/voice`. An event of a stream that a later
//! one has replaced is ignored: dead sockets are detected late, and Twilio's callbacks arrive in any order.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::reconcile::CallState;
use super::stream_tokens::ExpectedStream;
use super::{CallService, lock};
use crate::access::secret::Secret;
use crate::clock;
use crate::config::TranscriptionSource;
use crate::ids::{CallSid, StreamSid};
use crate::limits;
use crate::store::CallRecord;
use crate::transcript::{CallStatus, Direction, EndReason, EngineHealth, Event};
use crate::twilio::api::TwilioClient;
use crate::twilio::api::calls::NewStream;
use crate::twilio::tracks::TrackSelection;

/// Delays before the attempts to restart a call's stream; after the last attempt the stream is given up.
const RESTART_DELAYS: [Duration; 4] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(4),
    Duration::from_secs(15),
];

/// A stream that ran for longer than this was healthy: a later failure has another cause, and resets the
/// number of attempts.
const STEADY_TIME: Duration = Duration::from_mins(1);

/// Prefix of every stream's name; the stream's number follows.
const STREAM_NAME_PREFIX: &str = "callburner-";

/// Stream parameter for the call's direction.
pub(super) const DIRECTION_PARAMETER: &str = "direction";

/// Kind of the entry for a restarted stream in the call's log.
const RESTARTED_KIND: &str = "stream_restarted";

/// Returns the name of a call's stream `number`, unique within the call.
pub(super) fn stream_name(number: u32) -> String {
    format!("{STREAM_NAME_PREFIX}{number}")
}

/// Parses a stream's number from its name; `None` if the name is not one of this server's.
fn stream_number(name: &str) -> Option<u32> {
    name.strip_prefix(STREAM_NAME_PREFIX)?.parse().ok()
}

/// Returns the value of [`DIRECTION_PARAMETER`]. Twilio sends it back in the stream's `start` message, so
/// that the speakers are known without the database.
pub(super) fn direction_parameter(direction: Direction) -> &'static str {
    match direction {
        Direction::Outgoing => "outgoing",
        Direction::Incoming => "incoming",
    }
}

/// Restarted streams of each call, and the number of attempts. Pure.
#[derive(Debug, Default)]
pub(super) struct StreamRestarts {
    calls: BTreeMap<CallSid, CallStreams>,
}

#[derive(Debug)]
struct CallStreams {
    /// Number of the latest requested stream.
    latest_number: u32,
    /// Whether the latest stream's socket has opened.
    is_open: bool,
    attempts: usize,
    attempted_at: Instant,
    /// Whether Twilio refused to start a stream because the call is not answered.
    awaits_answer: bool,
    /// Whether the number of attempts was already reset on the answer.
    has_reset_tries: bool,
}

#[derive(Debug, Clone)]
pub(super) struct OpenStream {
    number: u32,
    /// Changes on each message, and closes with the socket.
    frames: watch::Receiver<()>,
}

impl StreamRestarts {
    /// Returns the delay before the next stream starts, and its number, after stream `lost` of the call has
    /// ended (`None`: the latest). Returns `None` if a later stream has replaced it, or after the last
    /// attempt.
    fn next_restart(
        &mut self,
        call: &CallSid,
        lost: Option<u32>,
        now: Instant,
    ) -> Option<(Duration, u32)> {
        if self.calls.len() >= limits::STREAM_RESTARTS_MAX && !self.calls.contains_key(call) {
            return None;
        }
        let streams = self.calls.entry(call.clone()).or_insert(CallStreams {
            latest_number: 1,
            is_open: false,
            attempts: 0,
            attempted_at: now,
            awaits_answer: false,
            has_reset_tries: false,
        });
        if lost.is_some_and(|lost| lost < streams.latest_number) {
            return None;
        }
        if streams.is_open && now.saturating_duration_since(streams.attempted_at) > STEADY_TIME {
            streams.attempts = 0;
        }
        let after = *RESTART_DELAYS.get(streams.attempts)?;
        *streams = CallStreams {
            latest_number: lost
                .unwrap_or(streams.latest_number)
                .max(streams.latest_number)
                + 1,
            is_open: false,
            attempts: streams.attempts + 1,
            attempted_at: now,
            awaits_answer: false,
            has_reset_tries: streams.has_reset_tries,
        };
        Some((after, streams.latest_number))
    }

    /// Marks the stream open, if it is the call's latest.
    fn on_opened(&mut self, stream: &ExpectedStream) {
        let streams = self.calls.get_mut(&stream.call);
        if let Some(streams) = streams.filter(|streams| streams.latest_number == stream.number) {
            streams.is_open = true;
        }
    }

    /// Whether stream `number` is the call's latest and is open.
    fn is_open(&self, call: &CallSid, number: u32) -> bool {
        let streams = self.calls.get(call);
        streams.is_some_and(|streams| streams.is_open && streams.latest_number == number)
    }

    /// Remembers that Twilio refused to start the call's stream, perhaps because the call is not answered;
    /// the stream is started on the answer.
    fn wait_for_answer(&mut self, call: &CallSid) {
        if let Some(streams) = self.calls.get_mut(call) {
            streams.awaits_answer = true;
        }
    }

    /// Resets the number of attempts of a call that is ringing, once for each call.
    fn on_ringing(&mut self, call: &CallSid) {
        if let Some(streams) = self.calls.get_mut(call).filter(|s| !s.has_reset_tries) {
            (streams.has_reset_tries, streams.attempts) = (true, 0);
        }
    }

    /// Returns the number of the stream that waited for the answer, once; `None` if no stream waited.
    fn on_answered(&mut self, call: &CallSid) -> Option<u32> {
        let streams = self.calls.get_mut(call)?;
        std::mem::take(&mut streams.awaits_answer).then_some(streams.latest_number)
    }

    pub(super) fn latest_number(&self, call: &CallSid) -> u32 {
        self.calls
            .get(call)
            .map_or(1, |streams| streams.latest_number)
    }

    pub(super) fn remove_call(&mut self, call: &CallSid) {
        self.calls.remove(call);
    }
}

impl CallService {
    /// Redeems a stream token: returns the stream that the media socket carries. A token is valid once;
    /// `None` if it is unknown, used or expired.
    pub fn redeem_stream_token(&self, secret: &str) -> Option<ExpectedStream> {
        let hash = Secret::parse(secret)?.hash();
        let stream = lock(&self.0.stream_tokens).redeem(&hash, clock::now())?;
        lock(&self.0.stream_restarts).on_opened(&stream);
        Some(stream)
    }

    /// Saves the end of a stream and restarts the stream if it broke off. `number` is the stream's number;
    /// `None` if this server did not request it.
    pub fn on_stream_ended(
        &self,
        call: &CallSid,
        stream: StreamSid,
        number: Option<u32>,
        reason: EndReason,
    ) {
        let store = self.store().clone();
        self.0.deps.tasks.spawn(async move {
            let ended = store.end_stream(&stream, reason, clock::utc_now()).await;
            if let Err(error) = ended {
                tracing::warn!(?stream, %error, "could not save the end of a stream");
            }
        });
        // A stream mostly ends with its call.
        self.schedule_end_check(call);
        match reason {
            EndReason::Dropped | EndReason::Idle => self.on_stream_lost(call, number),
            // Not restarted: Twilio stopped the stream, this server is shutting down, or the data was not in
            // Twilio's protocol.
            EndReason::Stopped
            | EndReason::NeverStarted
            | EndReason::ProtocolError
            | EndReason::ShuttingDown => {}
        }
    }

    /// Reports that the call is not transcribed because every media stream is taken. The call continues, and
    /// its listeners receive a degraded engine state. Twilio then reports the refused socket, and another
    /// stream is started.
    pub async fn mark_not_transcribed(&self, call: &CallSid) {
        tracing::warn!(
            ?call,
            "a call is not transcribed: every media stream is taken"
        );
        {
            let mut untranscribed = lock(&self.0.untranscribed);
            if untranscribed.len() < limits::STREAM_RESTARTS_MAX {
                untranscribed.insert(call.clone());
            }
        }
        self.publish(call, engine_event(EngineHealth::Degraded));
        self.log_call_event(call, "not_transcribed", "too many streams", None)
            .await;
    }

    /// Reports the engine as healthy again if the call was not transcribed before.
    pub fn mark_transcribed(&self, call: &CallSid) {
        if lock(&self.0.untranscribed).remove(call) {
            self.publish(call, engine_event(EngineHealth::Ok));
        }
    }

    /// Registers the open socket of the call's stream `number`. The caller notifies the returned sender on
    /// each message, and drops it with the socket.
    pub fn on_stream_opened(&self, call: &CallSid, number: u32) -> watch::Sender<()> {
        let frame_sender = watch::Sender::new(());
        let frames = frame_sender.subscribe();
        let mut open_streams = lock(&self.0.open_streams);
        // Bounded by the number of open sockets, plus this one.
        open_streams.retain(|_, open_stream| {
            // An unseen message would hide that the channel is closed.
            open_stream.frames.mark_unchanged();
            open_stream.frames.has_changed().is_ok()
        });
        open_streams.insert(call.clone(), OpenStream { number, frames });
        frame_sender
    }

    /// Handles Twilio's report that the stream of this name failed. A stream with audio that continues to
    /// arrive is kept: a second stream beside it would transcribe the same speech twice.
    pub(super) fn on_stream_failed(&self, call: &CallSid, name: Option<&str>) {
        let failed = name.and_then(stream_number);
        let open_stream = lock(&self.0.open_streams).get(call).cloned();
        let is_it =
            |open_stream: &OpenStream| failed.is_none_or(|number| number == open_stream.number);
        let Some(mut open_stream) = open_stream.filter(is_it) else {
            return self.on_stream_lost(call, failed);
        };
        let (service, call) = (self.clone(), call.clone());
        self.0.deps.tasks.spawn(async move {
            open_stream.frames.mark_unchanged();
            let wait = clock::sleep_until(Some(clock::now() + limits::STREAM_ALIVE_WAIT_MAX));
            tokio::select! {
                proof = open_stream.frames.changed() => match proof {
                    Ok(()) => service.log_call_event(&call, "stream_goes_on", "its audio arrives", None).await,
                    // If the socket's end already started another stream, this call starts none.
                    Err(_) => service.on_stream_lost(&call, Some(open_stream.number)),
                },
                () = wait => {
                    if let Ok(twilio) = service.twilio() {
                        let _ = twilio.stop_stream(&call, &stream_name(open_stream.number)).await;
                    }
                    service.on_stream_lost(&call, Some(open_stream.number));
                }
                () = service.0.deps.tasks.wait_for_stop() => {}
            }
        });
    }

    /// Starts the stream that Twilio refused to start before the answer.
    pub(super) fn on_call_answered(&self, call: &CallSid) {
        let waited = lock(&self.0.stream_restarts).on_answered(call);
        if let Some(number) = waited {
            self.on_stream_lost(call, Some(number));
        }
    }

    /// Restarts the streams of calls that were in progress when this server last ended, up to
    /// [`limits::MEDIA_SOCKETS_MAX`].
    pub fn resume_calls(&self, calls: Vec<CallSid>) {
        if calls.is_empty() || !self.uses_streams() {
            return;
        }
        let service = self.clone();
        self.0.deps.tasks.spawn(async move {
            let oldest = clock::utc_now().minus(limits::CALL_TIME_MAX);
            for call in calls.into_iter().take(limits::MEDIA_SOCKETS_MAX) {
                let Ok(Some(detail)) = service.store().call_detail(&call).await else {
                    continue;
                };
                if detail.call.started_at > oldest {
                    let is_restart = |kind: &str| kind == RESTARTED_KIND;
                    let restarts = detail.events.iter().filter(|e| is_restart(&e.kind));
                    service.on_stream_lost(&call, Some(1 + restarts.count() as u32));
                }
            }
        });
    }

    /// Whether calls are transcribed over media streams, and an account is configured to start them with.
    fn uses_streams(&self) -> bool {
        self.0.config.transcription_source == TranscriptionSource::Whisper
            && self.0.deps.twilio.is_some()
    }

    /// Starts another stream for a call that may be in progress, if an account is configured.
    fn on_stream_lost(&self, call: &CallSid, lost: Option<u32>) {
        let Some(twilio) = self.0.deps.twilio.clone().filter(|_| self.uses_streams()) else {
            return;
        };
        let Some((after, number)) =
            lock(&self.0.stream_restarts).next_restart(call, lost, clock::now())
        else {
            tracing::debug!(?call, ?lost, "the call's stream is not restarted");
            return;
        };
        let (service, call) = (self.clone(), call.clone());
        self.0.deps.tasks.spawn(async move {
            tokio::select! {
                () = clock::sleep_until(Some(clock::now() + after)) => {}
                () = service.0.deps.tasks.wait_for_stop() => return,
            }
            // Without a record, Twilio's answer decides whether the call is over.
            let record = service.store().call_record(&call).await.ok().flatten();
            if record
                .as_ref()
                .is_none_or(|record| !record.status.is_over())
            {
                service
                    .start_stream(&twilio, &call, number, record.as_ref())
                    .await;
            }
        });
    }

    async fn start_stream(
        &self,
        twilio: &TwilioClient,
        call: &CallSid,
        number: u32,
        record: Option<&CallRecord>,
    ) {
        let who = record.map(|record| (DIRECTION_PARAMETER, direction_parameter(record.direction)));
        let parameters = who.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let stream = NewStream {
            url: self.issue_stream_url(call, number),
            name: stream_name(number),
            tracks: TrackSelection::Both,
            status_callback: Some(self.callback_url("/api/streams/status")),
            parameters: parameters.into_iter().collect(),
        };
        let error = match twilio.start_stream(call, &stream).await {
            Ok(stream) => {
                tracing::info!(?call, ?stream, number, "stream restarted");
                return self.log_stream_restart(call, number).await;
            }
            Err(error) => error,
        };
        if lock(&self.0.stream_restarts).is_open(call, number) {
            // The request succeeded; only the response was lost.
            return self.log_stream_restart(call, number).await;
        }
        if error.is_not_found() || error.is_call_ended() {
            // The call is over, or it rings: Twilio does not count ringing as in progress.
            lock(&self.0.stream_restarts).wait_for_answer(call);
            match self.check_call(call).await {
                CallState::Ended => {
                    tracing::info!(?call, "the call is over: its stream is not restarted");
                }
                // `check_call` has started another stream.
                CallState::Active(CallStatus::InProgress) => {}
                CallState::Active(_) => {
                    tracing::info!(
                        ?call,
                        "the call's stream will start when the call is answered"
                    );
                    lock(&self.0.stream_restarts).on_ringing(call);
                    self.schedule_end_check(call);
                }
                CallState::Unknown => self.schedule_end_check(call),
            }
            return;
        }
        tracing::warn!(?call, number, %error, "could not restart the call's stream");
        if error.may_have_succeeded() {
            // If the stream runs nevertheless, the same speech must not be transcribed twice.
            let _ = twilio.stop_stream(call, &stream.name).await;
        }
        self.on_stream_lost(call, Some(number));
    }

    async fn log_stream_restart(&self, call: &CallSid, number: u32) {
        let detail = format!("stream {number}");
        self.log_call_event(call, RESTARTED_KIND, &detail, None)
            .await;
    }
}

fn engine_event(health: EngineHealth) -> Event {
    Event::Engine {
        health,
        lag_ms: 0,
        partials_missed: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(n: usize) -> CallSid {
        CallSid::parse(&format!("CA{n:032x}")).unwrap()
    }

    #[test]
    fn a_stream_is_started_again_and_not_for_ever() {
        let (mut restarts, now) = (StreamRestarts::default(), clock::now());
        for (n, after) in (1..).zip(RESTART_DELAYS) {
            assert_eq!(
                restarts.next_restart(&call(1), Some(n), now),
                Some((after, n + 1))
            );
        }
        assert_eq!(
            restarts.next_restart(&call(1), Some(5), now),
            None,
            "often enough"
        );
        assert!(restarts.next_restart(&call(2), None, now).is_some());
        restarts.remove_call(&call(1));
        assert!(restarts.next_restart(&call(1), None, now).is_some());
    }

    #[test]
    fn a_stream_that_waits_for_the_answer_is_started_once_and_has_all_its_tries() {
        let (mut restarts, now) = (StreamRestarts::default(), clock::now());
        restarts.wait_for_answer(&call(1));
        assert_eq!(restarts.on_answered(&call(1)), None, "nothing was lost");
        for n in 1..=RESTART_DELAYS.len() as u32 {
            restarts.next_restart(&call(1), Some(n), now);
        }
        assert_eq!(restarts.next_restart(&call(1), Some(5), now), None);
        restarts.wait_for_answer(&call(1));
        restarts.on_ringing(&call(1));
        assert_eq!(restarts.on_answered(&call(1)), Some(5));
        assert_eq!(restarts.on_answered(&call(1)), None);
        let again = restarts.next_restart(&call(1), Some(5), now);
        assert_eq!(again, Some((RESTART_DELAYS[0], 6)));
        restarts.on_ringing(&call(1));
        let next = restarts.next_restart(&call(1), Some(6), now);
        assert_eq!(next, Some((RESTART_DELAYS[1], 7)), "not for ever");
        assert_eq!(
            (
                restarts.latest_number(&call(1)),
                restarts.latest_number(&call(2))
            ),
            (7, 1)
        );
    }

    #[test]
    fn what_is_told_of_an_earlier_stream_is_old_news() {
        let (mut restarts, now) = (StreamRestarts::default(), clock::now());
        assert!(restarts.next_restart(&call(1), Some(1), now).is_some());
        assert_eq!(
            restarts.next_restart(&call(1), Some(1), now),
            None,
            "2 took over"
        );
        assert!(restarts.next_restart(&call(1), Some(2), now).is_some());
        // After a restart of this server, the stream's number is parsed from its name.
        let next = restarts.next_restart(&call(2), Some(7), now);
        assert_eq!(next, Some((RESTART_DELAYS[0], 8)));
        assert_eq!(
            (stream_number("callburner-7"), stream_number("cb-7")),
            (Some(7), None)
        );
    }

    #[test]
    fn a_stream_that_ran_for_long_has_all_its_tries_again() {
        let (mut restarts, now) = (StreamRestarts::default(), clock::now());
        let open = |restarts: &mut StreamRestarts, number| {
            let call = call(1);
            restarts.on_opened(&ExpectedStream { call, number });
        };
        restarts.next_restart(&call(1), Some(1), now);
        open(&mut restarts, 2);
        assert!(restarts.is_open(&call(1), 2) && !restarts.is_open(&call(1), 1));
        let soon = restarts.next_restart(&call(1), Some(2), now + STEADY_TIME);
        assert_eq!(soon, Some((RESTART_DELAYS[1], 3)));
        // Its socket never opened, however long ago it was requested.
        let late = now + STEADY_TIME * 3;
        let unseen = restarts.next_restart(&call(1), Some(3), late);
        assert_eq!(unseen, Some((RESTART_DELAYS[2], 4)));
        open(&mut restarts, 4);
        let steady = restarts.next_restart(&call(1), Some(4), late + STEADY_TIME * 2);
        assert_eq!(steady, Some((RESTART_DELAYS[0], 5)));
    }

    #[test]
    fn calls_whose_streams_break_are_bounded() {
        let (mut restarts, now) = (StreamRestarts::default(), clock::now());
        for n in 0..limits::STREAM_RESTARTS_MAX {
            assert!(restarts.next_restart(&call(n), None, now).is_some());
        }
        assert!(
            restarts
                .next_restart(&call(limits::STREAM_RESTARTS_MAX), None, now)
                .is_none()
        );
    }
}
