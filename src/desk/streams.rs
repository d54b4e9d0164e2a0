//! Media streams: which sockets are let in, and what happens when one breaks off in mid-call. Twilio
//! does not connect again by itself; so a new stream is asked for under a new name, and its words
//! join the same transcript.
//!
//! A call's streams are numbered from 1, the one in the TwiML of `/voice`. What is told of a stream
//! that another has taken over from is old news: sockets are noticed to be dead late, and Twilio's
//! callbacks come when they come.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::admission::Expected;
use super::reconcile::Truth;
use super::{Desk, lock};
use crate::access::secret::Secret;
use crate::clock;
use crate::config::TranscriptionSource;
use crate::ids::{CallSid, StreamSid};
use crate::limits;
use crate::store::CallRecord;
use crate::transcript::{CallStatus, Direction, EndReason, EngineHealth, Event};
use crate::twilio::rest::Rest;
use crate::twilio::rest::calls::NewStream;
use crate::twilio::tracks::Tracks;

/// Time before each further try to start a call's stream again; after the last it is given up.
const RESTART_AFTER: [Duration; 4] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(4),
    Duration::from_secs(15),
];

/// A stream that ran for so long was well: what breaks it then is another fault, and its tries
/// begin anew.
const STEADY: Duration = Duration::from_mins(1);

/// What every stream's name begins with; its number follows.
const NAME: &str = "callburner-";

/// The stream parameter that tells who called whom.
pub(super) const DIRECTION: &str = "direction";

/// How a call's log says that a stream was started again.
const RESTARTED: &str = "stream_restarted";

/// The name of a call's `number`th stream, unique within the call.
pub(super) fn name(number: u32) -> String {
    format!("{NAME}{number}")
}

/// The number of the stream of this name, if it is one of ours.
fn number(name: &str) -> Option<u32> {
    name.strip_prefix(NAME)?.parse().ok()
}

/// What [`DIRECTION`] says: it comes back in the stream's `start`, so that who speaks is known
/// without the database.
pub(super) fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Outgoing => "outgoing",
        Direction::Incoming => "incoming",
    }
}

/// Which calls' streams were started again, and how often. Pure.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    calls: BTreeMap<CallSid, Streams>,
}

/// One call's streams.
#[derive(Debug)]
struct Streams {
    /// The number of the one that was asked for last.
    latest: u32,
    /// Whether its socket has opened.
    is_open: bool,
    tries: usize,
    tried_at: Instant,
    /// Whether Twilio would not start one because the call is not answered yet.
    waits_for_answer: bool,
    /// Whether it has all its tries after the answer already.
    has_waited: bool,
}

/// A stream whose socket is open.
#[derive(Debug, Clone)]
pub(super) struct Live {
    number: u32,
    /// Changes with each message, and is closed with the socket.
    frames: watch::Receiver<()>,
}

impl Restarts {
    /// A stream of the call is lost: how long to wait before another is started, and the number of
    /// that one. `None`: another has taken over already, or it was tried often enough. `lost` is
    /// the stream's number; none: the latest.
    fn next(&mut self, call: &CallSid, lost: Option<u32>, now: Instant) -> Option<(Duration, u32)> {
        if self.calls.len() >= limits::RESTARTS_MAX && !self.calls.contains_key(call) {
            return None;
        }
        let streams = self.calls.entry(call.clone()).or_insert(Streams {
            latest: 1,
            is_open: false,
            tries: 0,
            tried_at: now,
            waits_for_answer: false,
            has_waited: false,
        });
        if lost.is_some_and(|lost| lost < streams.latest) {
            return None;
        }
        if streams.is_open && now.saturating_duration_since(streams.tried_at) > STEADY {
            streams.tries = 0;
        }
        let after = *RESTART_AFTER.get(streams.tries)?;
        *streams = Streams {
            latest: lost.unwrap_or(streams.latest).max(streams.latest) + 1,
            is_open: false,
            tries: streams.tries + 1,
            tried_at: now,
            waits_for_answer: false,
            has_waited: streams.has_waited,
        };
        Some((after, streams.latest))
    }

    /// The stream's socket has opened.
    fn opened(&mut self, stream: &Expected) {
        let streams = self.calls.get_mut(&stream.call);
        if let Some(streams) = streams.filter(|streams| streams.latest == stream.number) {
            streams.is_open = true;
        }
    }

    /// Whether the call's `number`th stream is its latest, and runs.
    fn is_open(&self, call: &CallSid, number: u32) -> bool {
        let streams = self.calls.get(call);
        streams.is_some_and(|streams| streams.is_open && streams.latest == number)
    }

    /// Twilio does not start the call's stream, perhaps because nobody has answered: another is to be
    /// started when somebody has.
    fn wait_for_answer(&mut self, call: &CallSid) {
        if let Some(streams) = self.calls.get_mut(call) {
            streams.waits_for_answer = true;
        }
    }

    /// The call rings indeed: what was tried until now does not count, once.
    fn rings(&mut self, call: &CallSid) {
        if let Some(streams) = self.calls.get_mut(call).filter(|s| !s.has_waited) {
            (streams.has_waited, streams.tries) = (true, 0);
        }
    }

    /// The parties talk: the number of the stream that could not be started before, once.
    fn answered(&mut self, call: &CallSid) -> Option<u32> {
        let streams = self.calls.get_mut(call)?;
        std::mem::take(&mut streams.waits_for_answer).then_some(streams.latest)
    }

    /// The number of the call's latest stream.
    pub(super) fn latest(&self, call: &CallSid) -> u32 {
        self.calls.get(call).map_or(1, |streams| streams.latest)
    }

    /// The call is over.
    pub(super) fn forget(&mut self, call: &CallSid) {
        self.calls.remove(call);
    }
}

impl Desk {
    /// The stream that a media socket with this secret may carry; the secret is good once.
    pub fn admit_stream(&self, secret: &str) -> Option<Expected> {
        let hash = Secret::parse(secret)?.hash();
        let stream = lock(&self.0.admissions).redeem(&hash, clock::now())?;
        lock(&self.0.restarts).opened(&stream);
        Some(stream)
    }

    /// A stream's audio has ended. `number` is its number; none: nobody asked for it.
    pub fn stream_ended(
        &self,
        call: &CallSid,
        stream: StreamSid,
        number: Option<u32>,
        reason: EndReason,
    ) {
        let store = self.store().clone();
        self.0.tools.tasks.spawn(async move {
            let ended = store.end_stream(&stream, reason, clock::utc_now()).await;
            if let Err(error) = ended {
                tracing::warn!(?stream, %error, "the end of a stream is not written down");
            }
        });
        // It ends with its call, most often.
        self.may_be_over(call);
        match reason {
            EndReason::Dropped | EndReason::Idle => self.stream_lost(call, number),
            // Twilio stopped it, or it is not to come again: this server is leaving, or what came
            // was not Twilio's protocol.
            EndReason::Stopped
            | EndReason::NeverStarted
            | EndReason::ProtocolError
            | EndReason::ShuttingDown => {}
        }
    }

    /// There is no room for the call's stream: the call goes on, and whoever looks at it is told that
    /// it is not written down. Twilio tells of the refusal, and another stream is asked for.
    pub async fn goes_unheard(&self, call: &CallSid) {
        tracing::warn!(
            ?call,
            "a call is not transcribed: every media stream is taken"
        );
        {
            let mut unheard = lock(&self.0.unheard);
            if unheard.len() < limits::RESTARTS_MAX {
                unheard.insert(call.clone());
            }
        }
        self.tell(call, engine(EngineHealth::Degraded));
        self.note(call, "not_transcribed", "too many streams", None)
            .await;
    }

    /// The call's stream is open.
    pub fn is_heard(&self, call: &CallSid) {
        if lock(&self.0.unheard).remove(call) {
            self.tell(call, engine(EngineHealth::Ok));
        }
    }

    /// The socket of the call's `number`th stream is open. Each of its messages is to be told to what
    /// is returned, which is dropped with the socket.
    pub fn stream_opened(&self, call: &CallSid, number: u32) -> watch::Sender<()> {
        let told = watch::Sender::new(());
        let frames = told.subscribe();
        let mut live = lock(&self.0.live);
        // As many as sockets are open, and this one.
        live.retain(|_, live| {
            // A message that nobody has looked at hides that the socket is closed.
            live.frames.mark_unchanged();
            live.frames.has_changed().is_ok()
        });
        live.insert(call.clone(), Live { number, frames });
        told
    }

    /// Twilio says that it could not go on with the stream of this name. One whose audio goes on
    /// arriving goes on: another beside it would hear the same words twice.
    pub(super) fn stream_failed(&self, call: &CallSid, name: Option<&str>) {
        let failed = name.and_then(number);
        let live = lock(&self.0.live).get(call).cloned();
        let is_it = |live: &Live| failed.is_none_or(|number| number == live.number);
        let Some(mut live) = live.filter(is_it) else {
            return self.stream_lost(call, failed);
        };
        let (desk, call) = (self.clone(), call.clone());
        self.0.tools.tasks.spawn(async move {
            live.frames.mark_unchanged();
            let wait = clock::until(Some(clock::now() + limits::STREAM_PROOF_WAIT_MAX));
            tokio::select! {
                proof = live.frames.changed() => match proof {
                    Ok(()) => desk.note(&call, "stream_goes_on", "its audio arrives", None).await,
                    // If its own end asks for another, this does not.
                    Err(_) => desk.stream_lost(&call, Some(live.number)),
                },
                () = wait => {
                    if let Ok(rest) = desk.rest() {
                        let _ = rest.stop_stream(&call, &self::name(live.number)).await;
                    }
                    desk.stream_lost(&call, Some(live.number));
                }
                () = desk.0.tools.tasks.stopping() => {}
            }
        });
    }

    /// The parties talk: starts the stream that Twilio would not start before.
    pub(super) fn stream_answered(&self, call: &CallSid) {
        let waited = lock(&self.0.restarts).answered(call);
        if let Some(number) = waited {
            self.stream_lost(call, Some(number));
        }
    }

    /// After a restart: these calls were not over when this server last ended. Their streams ended
    /// with it, so that others are asked for, up to [`limits::MEDIA_SOCKETS_MAX`].
    pub fn take_up(&self, calls: Vec<CallSid>) {
        if calls.is_empty() || !self.has_streams() {
            return;
        }
        let desk = self.clone();
        self.0.tools.tasks.spawn(async move {
            let oldest = clock::utc_now().minus(limits::CALL_TIME_MAX);
            for call in calls.into_iter().take(limits::MEDIA_SOCKETS_MAX) {
                let Ok(Some(detail)) = desk.store().call(&call).await else {
                    continue;
                };
                if detail.call.started_at > oldest {
                    let is_restart = |kind: &str| kind == RESTARTED;
                    let restarts = detail.events.iter().filter(|e| is_restart(&e.kind));
                    desk.stream_lost(&call, Some(1 + restarts.count() as u32));
                }
            }
        });
    }

    /// Whether streams carry the calls, and others can be asked for.
    fn has_streams(&self) -> bool {
        self.0.config.source == TranscriptionSource::Whisper && self.0.tools.rest.is_some()
    }

    /// A call that may still go on has lost a stream: starts another, if there is an account to ask.
    fn stream_lost(&self, call: &CallSid, lost: Option<u32>) {
        let Some(rest) = self.0.tools.rest.clone().filter(|_| self.has_streams()) else {
            return;
        };
        let Some((after, number)) = lock(&self.0.restarts).next(call, lost, clock::now()) else {
            tracing::debug!(?call, ?lost, "the call's stream is not started again");
            return;
        };
        let (desk, call) = (self.clone(), call.clone());
        self.0.tools.tasks.spawn(async move {
            tokio::select! {
                () = clock::until(Some(clock::now() + after)) => {}
                () = desk.0.tools.tasks.stopping() => return,
            }
            // Without the database, Twilio knows whether the call is over.
            let record = desk.store().call_record(&call).await.ok().flatten();
            if record
                .as_ref()
                .is_none_or(|record| !record.status.is_over())
            {
                desk.start_stream(&rest, &call, number, record.as_ref())
                    .await;
            }
        });
    }

    async fn start_stream(
        &self,
        rest: &Rest,
        call: &CallSid,
        number: u32,
        record: Option<&CallRecord>,
    ) {
        let who = record.map(|record| (DIRECTION, direction(record.direction)));
        let parameters = who.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let stream = NewStream {
            url: self.expect_stream(call, number),
            name: name(number),
            tracks: Tracks::Both,
            status_callback: Some(self.callback("/api/streams/status")),
            parameters: parameters.into_iter().collect(),
        };
        let error = match rest.start_stream(call, &stream).await {
            Ok(stream) => {
                tracing::info!(?call, ?stream, number, "stream started again");
                return self.note_restart(call, number).await;
            }
            Err(error) => error,
        };
        if lock(&self.0.restarts).is_open(call, number) {
            // Only its answer was lost.
            return self.note_restart(call, number).await;
        }
        if error.is_gone() || error.is_already_over() {
            // It is over; or it rings, which is not in progress either.
            lock(&self.0.restarts).wait_for_answer(call);
            match self.ask_about(call).await {
                Truth::Over => tracing::info!(?call, "the call is over, and its stream with it"),
                // Another is asked for already.
                Truth::On(CallStatus::InProgress) => {}
                Truth::On(_) => {
                    tracing::info!(?call, "the call's stream is started when it is answered");
                    lock(&self.0.restarts).rings(call);
                    self.may_be_over(call);
                }
                Truth::Unknown => self.may_be_over(call),
            }
            return;
        }
        tracing::warn!(?call, number, %error, "the call's stream could not be started again");
        if error.is_in_doubt() {
            // If it runs after all, nobody is to hear the same words twice.
            let _ = rest.stop_stream(call, &stream.name).await;
        }
        self.stream_lost(call, Some(number));
    }

    async fn note_restart(&self, call: &CallSid, number: u32) {
        let detail = format!("stream {number}");
        self.note(call, RESTARTED, &detail, None).await;
    }
}

fn engine(health: EngineHealth) -> Event {
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
        let (mut restarts, now) = (Restarts::default(), clock::now());
        for (n, after) in (1..).zip(RESTART_AFTER) {
            assert_eq!(restarts.next(&call(1), Some(n), now), Some((after, n + 1)));
        }
        assert_eq!(restarts.next(&call(1), Some(5), now), None, "often enough");
        assert!(restarts.next(&call(2), None, now).is_some());
        restarts.forget(&call(1));
        assert!(restarts.next(&call(1), None, now).is_some());
    }

    #[test]
    fn a_stream_that_waits_for_the_answer_is_started_once_and_has_all_its_tries() {
        let (mut restarts, now) = (Restarts::default(), clock::now());
        restarts.wait_for_answer(&call(1));
        assert_eq!(restarts.answered(&call(1)), None, "nothing was lost");
        for n in 1..=RESTART_AFTER.len() as u32 {
            restarts.next(&call(1), Some(n), now);
        }
        assert_eq!(restarts.next(&call(1), Some(5), now), None);
        restarts.wait_for_answer(&call(1));
        restarts.rings(&call(1));
        assert_eq!(restarts.answered(&call(1)), Some(5));
        assert_eq!(restarts.answered(&call(1)), None);
        let again = restarts.next(&call(1), Some(5), now);
        assert_eq!(again, Some((RESTART_AFTER[0], 6)));
        restarts.rings(&call(1));
        let next = restarts.next(&call(1), Some(6), now);
        assert_eq!(next, Some((RESTART_AFTER[1], 7)), "not for ever");
        assert_eq!(
            (restarts.latest(&call(1)), restarts.latest(&call(2))),
            (7, 1)
        );
    }

    #[test]
    fn what_is_told_of_an_earlier_stream_is_old_news() {
        let (mut restarts, now) = (Restarts::default(), clock::now());
        assert!(restarts.next(&call(1), Some(1), now).is_some());
        assert_eq!(restarts.next(&call(1), Some(1), now), None, "2 took over");
        assert!(restarts.next(&call(1), Some(2), now).is_some());
        // After a restart of this server, the how manyth it is is learned from its name.
        let next = restarts.next(&call(2), Some(7), now);
        assert_eq!(next, Some((RESTART_AFTER[0], 8)));
        assert_eq!((number("callburner-7"), number("cb-7")), (Some(7), None));
    }

    #[test]
    fn a_stream_that_ran_for_long_has_all_its_tries_again() {
        let (mut restarts, now) = (Restarts::default(), clock::now());
        let open = |restarts: &mut Restarts, number| {
            let call = call(1);
            restarts.opened(&Expected { call, number });
        };
        restarts.next(&call(1), Some(1), now);
        open(&mut restarts, 2);
        assert!(restarts.is_open(&call(1), 2) && !restarts.is_open(&call(1), 1));
        let soon = restarts.next(&call(1), Some(2), now + STEADY);
        assert_eq!(soon, Some((RESTART_AFTER[1], 3)));
        // It never came, however long ago it was asked for.
        let late = now + STEADY * 3;
        let unseen = restarts.next(&call(1), Some(3), late);
        assert_eq!(unseen, Some((RESTART_AFTER[2], 4)));
        open(&mut restarts, 4);
        let steady = restarts.next(&call(1), Some(4), late + STEADY * 2);
        assert_eq!(steady, Some((RESTART_AFTER[0], 5)));
    }

    #[test]
    fn calls_whose_streams_break_are_bounded() {
        let (mut restarts, now) = (Restarts::default(), clock::now());
        for n in 0..limits::RESTARTS_MAX {
            assert!(restarts.next(&call(n), None, now).is_some());
        }
        assert!(
            restarts
                .next(&call(limits::RESTARTS_MAX), None, now)
                .is_none()
        );
    }
}
