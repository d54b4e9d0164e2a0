//! One Media Stream as a state machine: text messages in; audio, deadlines and the reason for its
//! end out. Pure: no I/O; takes `now`.
//!
//! The driver hands every event to [`Session::handle`], then drains [`Session::poll`]. The last
//! thing that comes out is [`Output::Wait`]: call again then at the latest, with [`Input::Tick`].
//!
//! ```text
//!                 start                        stop · close · idle
//! AwaitingStart ─────────► Streaming ────────────────────────────► Done
//!       │                                                            ▲
//!       └── close · deadline · foreign format · faults · shutdown ───┘
//! ```
//!
//! Twilio sends in real time. Whoever sends faster is not refused, he waits: the session asks the
//! driver to leave the socket unread for a while ([`Output::PauseReading`]), TCP holds the sender
//! back, and nothing is lost.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::time::Duration;
use std::time::Instant;

use crate::audio::LINE_HZ;
use crate::ids::AccountSid;
use crate::ids::CallSid;
use crate::ids::Track;
use crate::limits::MEDIA_AHEAD_MS_MAX;
use crate::limits::MEDIA_FAULTS_MAX;
use crate::limits::MEDIA_IDLE_MAX;
use crate::limits::MEDIA_MESSAGE_BYTES_MAX;
use crate::limits::MEDIA_START_WAIT_MAX;
use crate::transcript::EndReason;
use crate::twilio::stream::message::Body;
use crate::twilio::stream::message::Media;
use crate::twilio::stream::message::Message;
use crate::twilio::stream::message::MessageError;

pub use crate::twilio::stream::message::Start;

/// What a message costs in time: 500 a second are read for long. Twilio sends 100 for both tracks.
const MESSAGE_COST: Duration = Duration::from_millis(2);

/// Messages that may come at once: what Twilio sends in half a minute.
const MESSAGES_AT_ONCE: u32 = 3_000;

/// Every so many bytes of a message count as one message more.
const BYTES_PER_MESSAGE: usize = 2_048;

/// A pause goes on until this much may come again, so that pauses are few.
const PAUSE_SLACK: Duration = Duration::from_millis(250);

/// A sequence number further ahead of the last than this is not believed: the message is read as
/// if it had none.
const SEQUENCE_LEAP_MAX: u64 = 1_000;

/// What happens to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input<'a> {
    /// A text message came.
    Text(&'a str),
    /// A binary message came; Twilio never sends one.
    Binary,
    /// What came breaks the WebSocket protocol, or is longer than a message may be.
    Unreadable,
    /// The socket is closed, or broke.
    Closed,
    /// This server is about to stop.
    Stopping,
    /// Time went by.
    Tick,
}

/// What a session wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// The stream says what it is of. Comes once, before any audio.
    Started(Start),
    /// A piece of one track.
    Audio {
        /// Whose audio.
        track: Track,
        /// Milliseconds from the start of the stream.
        timestamp_ms: u64,
        /// G.711 μ-law, 8 kHz; not empty.
        mulaw: Vec<u8>,
    },
    /// Leave the socket unread until then.
    PauseReading(Instant),
    /// Call `handle` by then. Always the last before `poll` gives nothing.
    Wait(Instant),
    /// It is over: close the socket. Nothing comes after it.
    Ended(EndReason),
}

/// Something that a Media Stream must not do. [`MEDIA_FAULTS_MAX`] of them are forgiven.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A text that is not a message.
    #[error("the stream sent {0}")]
    Message(#[from] MessageError),
    /// A binary message.
    #[error("the stream sent a binary message")]
    Binary,
    /// Media or stop before start.
    #[error("the stream sent {event} before start")]
    BeforeStart {
        /// What it sent.
        event: &'static str,
    },
    /// A message of another stream.
    #[error("the stream sent a message of another stream")]
    ForeignStream,
    /// Bytes that are no WebSocket message that may be read.
    #[error(
        "the stream sent what breaks the WebSocket protocol, or a message of more than \
         {MEDIA_MESSAGE_BYTES_MAX} bytes"
    )]
    Unreadable,
    /// A second start.
    #[error("the stream sent a second start")]
    SecondStart,
    /// A start of another call, or account, than this socket was opened for. Ends the stream.
    #[error("the stream is of another call than this socket was opened for")]
    ForeignCall,
}

/// What a stream must be of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Admission {
    /// The call that the socket was opened for; none: any.
    pub call_sid: Option<CallSid>,
    /// The account whose calls are taken; none: any.
    pub account_sid: Option<AccountSid>,
}

impl Admission {
    /// A stream that does not say its account is believed: the socket's secret names the call.
    fn admits(&self, start: &Start) -> bool {
        let account = self.account_sid.as_ref().zip(start.account_sid.as_deref());
        self.call_sid
            .as_ref()
            .is_none_or(|sid| *sid == start.call_sid)
            && account.is_none_or(|(ours, theirs)| ours.as_str() == theirs)
    }
}

/// What one stream did, for the line in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Text messages.
    pub messages: u64,
    /// Pieces of audio that were passed on.
    pub media: u64,
    /// Samples of the inbound track.
    pub inbound_samples: u64,
    /// Samples of the outbound track.
    pub outbound_samples: u64,
    /// Messages whose number had been seen; they were dropped.
    pub duplicates: u64,
    /// Messages that the numbers say are missing.
    pub missing: u64,
    /// Events that this program has no use for.
    pub ignored: u64,
    /// [`Fault`]s.
    pub faults: u32,
    /// Times that the sender was held back.
    pub pauses: u64,
}

/// One Media Stream.
#[derive(Debug)]
pub struct Session {
    state: State,
    admission: Admission,
    outputs: VecDeque<Output>,
    /// Whether `Wait` is still to be said since the last `handle`.
    wait: bool,
    messages: Meter,
    counts: Counts,
    first_fault: Option<Fault>,
    last_fault: Option<Fault>,
}

#[derive(Debug)]
enum State {
    AwaitingStart { deadline: Instant },
    Streaming(Streaming),
    Done,
}

#[derive(Debug)]
struct Streaming {
    deadline: Instant,
    stream_sid: String,
    numbers: Numbers,
    tracks: BTreeMap<Track, Meter>,
}

impl Session {
    /// A session whose socket has just opened, for what `admission` says.
    pub fn new(now: Instant, admission: Admission) -> Self {
        Self {
            admission,
            state: State::AwaitingStart {
                deadline: now + MEDIA_START_WAIT_MAX,
            },
            outputs: VecDeque::new(),
            wait: true,
            messages: Meter::new(now, MESSAGE_COST * MESSAGES_AT_ONCE, Duration::ZERO),
            counts: Counts::default(),
            first_fault: None,
            last_fault: None,
        }
    }

    /// Takes one event. Drain [`Session::poll`] before the next.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        if matches!(self.state, State::Done) {
            return;
        }
        self.wait = true;
        match input {
            Input::Text(text) => self.text(now, text),
            Input::Binary => self.fault(Fault::Binary),
            Input::Unreadable => {
                self.fault(Fault::Unreadable);
                self.end(EndReason::ProtocolError);
            }
            Input::Stopping => self.end(EndReason::ShuttingDown),
            Input::Closed => match self.state {
                State::AwaitingStart { .. } => self.end(EndReason::NeverStarted),
                State::Streaming(_) => self.end(EndReason::Dropped),
                State::Done => {}
            },
            Input::Tick => {}
        }
        match &self.state {
            State::AwaitingStart { deadline } if now >= *deadline => {
                self.end(EndReason::NeverStarted);
            }
            State::Streaming(streaming) if now >= streaming.deadline => self.end(EndReason::Idle),
            State::AwaitingStart { .. } | State::Streaming(_) | State::Done => {}
        }
    }

    /// The next thing that the session wants; `None` when it has said all.
    pub fn poll(&mut self) -> Option<Output> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        let deadline = match &self.state {
            State::AwaitingStart { deadline } => *deadline,
            State::Streaming(streaming) => streaming.deadline,
            State::Done => return None,
        };
        std::mem::take(&mut self.wait).then_some(Output::Wait(deadline))
    }

    /// What the stream did so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The first fault, which the others often follow from.
    pub fn first_fault(&self) -> Option<&Fault> {
        self.first_fault.as_ref()
    }

    /// The latest fault: after [`EndReason::ProtocolError`], its reason.
    pub fn last_fault(&self) -> Option<&Fault> {
        self.last_fault.as_ref()
    }

    fn text(&mut self, now: Instant, text: &str) {
        self.counts.messages += 1;
        let weight = 1 + (text.len() / BYTES_PER_MESSAGE) as u32;
        let mut pause = self.messages.take(now, MESSAGE_COST * weight);
        match Message::parse(text) {
            Ok(message) => pause = pause.max(self.message(now, message)),
            Err(error @ MessageError::Format { .. }) => {
                self.fault(Fault::Message(error));
                self.end(EndReason::ProtocolError);
            }
            Err(error) => self.fault(Fault::Message(error)),
        }
        let Some(until) = pause else { return };
        match &mut self.state {
            State::Done => return,
            State::AwaitingStart { .. } => {}
            // Nothing is read in a pause, so its silence does not count.
            State::Streaming(streaming) => {
                streaming.deadline = streaming.deadline.max(until + MEDIA_IDLE_MAX);
            }
        }
        self.counts.pauses += 1;
        self.outputs.push_back(Output::PauseReading(until));
    }

    /// Takes a message that could be read; gives how long its audio asks for a pause.
    fn message(&mut self, now: Instant, message: Message) -> Option<Instant> {
        let Message {
            sequence,
            stream_sid,
            body,
        } = message;
        let streaming = match &mut self.state {
            State::Done => return None,
            State::AwaitingStart { .. } => {
                self.first(now, sequence, body);
                return None;
            }
            State::Streaming(streaming) => streaming,
        };
        if stream_sid.is_some_and(|sid| sid != streaming.stream_sid) {
            self.fault(Fault::ForeignStream);
            return None;
        }
        match sequence.map_or(Numbered::Next { missing: 0 }, |number| {
            streaming.numbers.note(number)
        }) {
            Numbered::Next { missing } => self.counts.missing += missing,
            Numbered::Missed => self.counts.missing = self.counts.missing.saturating_sub(1),
            Numbered::Again => {
                self.counts.duplicates += 1;
                return None;
            }
        }
        match body {
            Body::Start(_) => self.fault(Fault::SecondStart),
            Body::Stop { .. } => self.end(EndReason::Stopped),
            Body::Connected => streaming.deadline = now + MEDIA_IDLE_MAX,
            Body::Other { .. } => {
                streaming.deadline = now + MEDIA_IDLE_MAX;
                self.counts.ignored += 1;
            }
            Body::Media(media) => {
                streaming.deadline = now + MEDIA_IDLE_MAX;
                let pause = streaming.pace(now, &media);
                self.audio(media);
                return pause;
            }
        }
        None
    }

    /// A message in a session that has not started.
    fn first(&mut self, now: Instant, sequence: Option<u64>, body: Body) {
        match body {
            Body::Connected => {}
            Body::Other { .. } => self.counts.ignored += 1,
            Body::Media(_) => self.fault(Fault::BeforeStart { event: "media" }),
            Body::Stop { .. } => self.fault(Fault::BeforeStart { event: "stop" }),
            Body::Start(start) if !self.admission.admits(&start) => {
                self.fault(Fault::ForeignCall);
                self.end(EndReason::ProtocolError);
            }
            Body::Start(start) => {
                self.state = State::Streaming(Streaming {
                    deadline: now + MEDIA_IDLE_MAX,
                    stream_sid: start.stream_sid.as_str().to_owned(),
                    numbers: Numbers {
                        highest: sequence,
                        seen: 1,
                    },
                    tracks: BTreeMap::new(),
                });
                self.outputs.push_back(Output::Started(start));
            }
        }
    }

    fn audio(&mut self, media: Media) {
        let Media {
            track,
            timestamp_ms,
            mulaw,
            chunk: _,
        } = media;
        if mulaw.is_empty() {
            return;
        }
        self.counts.media += 1;
        match track {
            Track::Inbound => self.counts.inbound_samples += mulaw.len() as u64,
            Track::Outbound => self.counts.outbound_samples += mulaw.len() as u64,
        }
        self.outputs.push_back(Output::Audio {
            track,
            timestamp_ms,
            mulaw,
        });
    }

    fn fault(&mut self, fault: Fault) {
        self.counts.faults += 1;
        self.first_fault.get_or_insert_with(|| fault.clone());
        self.last_fault = Some(fault);
        if self.counts.faults > MEDIA_FAULTS_MAX {
            self.end(EndReason::ProtocolError);
        }
    }

    fn end(&mut self, reason: EndReason) {
        if !matches!(self.state, State::Done) {
            self.state = State::Done;
            self.outputs.push_back(Output::Ended(reason));
        }
    }
}

/// Which sequence numbers came. TCP keeps the order; whatever sits between Twilio and this server
/// may not.
#[derive(Debug)]
struct Numbers {
    highest: Option<u64>,
    /// Bit `n`: whether `highest - n` came.
    seen: u128,
}

enum Numbered {
    /// New, and the highest so far, or of no known place.
    Next {
        /// Numbers that it skipped.
        missing: u64,
    },
    /// One of those that had been skipped.
    Missed,
    /// One that came before.
    Again,
}

impl Numbers {
    fn note(&mut self, number: u64) -> Numbered {
        let Some(highest) = self.highest else {
            *self = Self {
                highest: Some(number),
                seen: 1,
            };
            return Numbered::Next { missing: 0 };
        };
        if number > highest {
            let leap = number - highest;
            if leap > SEQUENCE_LEAP_MAX {
                return Numbered::Next { missing: 0 };
            }
            self.seen = self.seen.checked_shl(leap as u32).unwrap_or(0) | 1;
            self.highest = Some(number);
            return Numbered::Next { missing: leap - 1 };
        }
        // Too far back to be remembered: its timestamp will tell whether it was heard.
        let Some(bit) = 1_u128.checked_shl((highest - number).try_into().unwrap_or(u32::MAX))
        else {
            return Numbered::Next { missing: 0 };
        };
        if self.seen & bit != 0 {
            return Numbered::Again;
        }
        self.seen |= bit;
        Numbered::Missed
    }
}

impl Streaming {
    /// Holds a track's audio against the clock.
    fn pace(&mut self, now: Instant, media: &Media) -> Option<Instant> {
        let ahead_max = Duration::from_millis(MEDIA_AHEAD_MS_MAX);
        let meter = self
            .tracks
            .entry(media.track)
            .or_insert_with(|| Meter::new(now, ahead_max, ahead_max));
        let samples = media.mulaw.len() as u64;
        meter.take(
            now,
            Duration::from_micros(samples * 1_000_000 / u64::from(LINE_HZ)),
        )
    }
}

/// Lets through as much as time goes by, and a burst. (The generic cell rate algorithm: one
/// instant instead of a bucket's level, <https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm>.)
#[derive(Debug)]
struct Meter {
    /// Until when what was taken would have lasted.
    taken_until: Instant,
    /// How far that may lie ahead of now.
    ahead_max: Duration,
    /// How far it may lag behind: what a stall saves up for the burst after it.
    behind_max: Duration,
}

impl Meter {
    fn new(now: Instant, ahead_max: Duration, behind_max: Duration) -> Self {
        Self {
            taken_until: now,
            ahead_max,
            behind_max,
        }
    }

    /// Takes what lasts for `cost`; says until when to stop taking if that was too much.
    fn take(&mut self, now: Instant, cost: Duration) -> Option<Instant> {
        let behind = now.saturating_duration_since(self.taken_until);
        self.taken_until += behind.saturating_sub(self.behind_max) + cost;
        let ahead = self.taken_until.saturating_duration_since(now);
        let over = ahead.saturating_sub(self.ahead_max);
        (!over.is_zero()).then(|| now + over + PAUSE_SLACK)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock;

    const MZ: &str = "MZ00000000000000000000000000000005";
    const CA: &str = "CA00000000000000000000000000000005";
    const SECOND: Duration = Duration::from_secs(1);
    const ALMOST_IDLE: Duration = MEDIA_IDLE_MAX.saturating_sub(SECOND);

    fn start() -> String {
        format!(
            r#"{{"event":"start","sequenceNumber":"1","start":{{"accountSid":"AC00000000000000000000000000000005","streamSid":"{MZ}","callSid":"{CA}","tracks":["inbound","outbound"],"mediaFormat":{{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}},"customParameters":{{"secret":"s"}}}},"streamSid":"{MZ}"}}"#
        )
    }

    fn stop(sequence: u64) -> String {
        format!(
            r#"{{"event":"stop","sequenceNumber":"{sequence}","streamSid":"{MZ}","stop":{{}}}}"#
        )
    }

    fn media_of(sid: &str, sequence: u64, track: Track, timestamp_ms: u64, mulaw: &[u8]) -> String {
        Message {
            sequence: Some(sequence),
            stream_sid: Some(sid.to_owned()),
            body: Body::Media(Media {
                track,
                chunk: None,
                timestamp_ms,
                mulaw: mulaw.to_vec(),
            }),
        }
        .to_json()
    }

    fn media(sequence: u64) -> String {
        media_of(
            MZ,
            sequence,
            Track::Inbound,
            sequence.saturating_mul(20),
            &[0xff; 160],
        )
    }

    /// A session, its time, and what it said but `Wait`.
    #[test]
    fn a_socket_carries_no_other_call_than_it_was_opened_for() {
        let admission = |call: &str, account: &str| Admission {
            call_sid: Some(CallSid::parse(call).unwrap()),
            account_sid: Some(AccountSid::parse(account).unwrap()),
        };
        let ours = "AC00000000000000000000000000000005";
        let other_call = "CA00000000000000000000000000000006";
        let other_account = "AC00000000000000000000000000000006";
        let play = Play::admitted(admission(CA, ours));
        assert!(matches!(play.heard[..], [Output::Started(_)]));
        for foreign in [admission(other_call, ours), admission(CA, other_account)] {
            let play = Play::admitted(foreign);
            assert_eq!(play.heard, [Output::Ended(EndReason::ProtocolError)]);
            assert_eq!(play.session.last_fault(), Some(&Fault::ForeignCall));
        }
    }

    struct Play {
        session: Session,
        now: Instant,
        heard: Vec<Output>,
        wait: Option<Instant>,
    }

    impl Play {
        fn new() -> Self {
            let now = clock::now();
            let mut play = Self {
                session: Session::new(now, Admission::default()),
                now,
                heard: Vec::new(),
                wait: None,
            };
            play.drain();
            play
        }

        fn admitted(admission: Admission) -> Self {
            let mut play = Self::new();
            play.session = Session::new(play.now, admission);
            play.drain();
            play.text(&start());
            play
        }

        fn started() -> Self {
            let mut play = Self::new();
            play.text(&start());
            play.heard.clear();
            play
        }

        fn drain(&mut self) {
            self.wait = None;
            while let Some(output) = self.session.poll() {
                assert_eq!(self.wait, None, "something came after Wait");
                if let Output::Wait(until) = output {
                    self.wait = Some(until);
                } else {
                    self.heard.push(output);
                }
            }
        }

        fn input(&mut self, input: Input<'_>) {
            self.session.handle(self.now, input);
            self.drain();
        }

        fn text(&mut self, text: &str) {
            self.input(Input::Text(text));
        }

        fn after(&mut self, time: Duration, input: Input<'_>) {
            self.now += time;
            self.input(input);
        }

        fn ended(&self) -> Option<EndReason> {
            let Some(Output::Ended(reason)) = self.heard.last() else {
                return None;
            };
            Some(*reason)
        }

        fn pauses(&self) -> Vec<Instant> {
            let mut pauses = Vec::new();
            for output in &self.heard {
                if let Output::PauseReading(until) = output {
                    pauses.push(*until);
                }
            }
            pauses
        }
    }

    #[test]
    fn a_call_goes_from_connected_to_stop() {
        let mut play = Play::new();
        play.text(r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#);
        assert_eq!(play.heard, []);
        play.text(&start());
        play.text(&media_of(MZ, 2, Track::Outbound, 155, &[1, 2, 3]));
        play.text(&media_of(MZ, 3, Track::Inbound, 156, &[4]));
        play.text(&stop(4));
        let [Output::Started(start), rest @ ..] = play.heard.as_slice() else {
            panic!("no start")
        };
        assert_eq!(
            (start.stream_sid.as_str(), start.call_sid.as_str()),
            (MZ, CA)
        );
        assert_eq!(start.tracks, Track::ALL);
        assert_eq!(start.parameters["secret"], "s");
        let audio = |track, timestamp_ms, mulaw: &[u8]| Output::Audio {
            track,
            timestamp_ms,
            mulaw: mulaw.to_vec(),
        };
        assert_eq!(
            rest,
            [
                audio(Track::Outbound, 155, &[1, 2, 3]),
                audio(Track::Inbound, 156, &[4]),
                Output::Ended(EndReason::Stopped),
            ]
        );
        assert_eq!(play.wait, None);
        assert_eq!(
            play.session.counts(),
            Counts {
                messages: 5,
                media: 2,
                inbound_samples: 1,
                outbound_samples: 3,
                ..Counts::default()
            }
        );
    }

    #[test]
    fn connected_may_be_missing() {
        let mut play = Play::new();
        play.text(&start());
        assert!(matches!(play.heard[..], [Output::Started(_)]));
    }

    #[test]
    fn a_stream_that_does_not_start_in_time_ends() {
        let mut play = Play::new();
        assert_eq!(play.wait, Some(play.now + MEDIA_START_WAIT_MAX));
        play.text(r#"{"event":"connected"}"#);
        play.after(MEDIA_START_WAIT_MAX.saturating_sub(SECOND), Input::Tick);
        assert_eq!(play.ended(), None);
        play.after(SECOND, Input::Tick);
        assert_eq!(play.ended(), Some(EndReason::NeverStarted));
    }

    #[test]
    fn chatter_does_not_stand_in_for_a_start() {
        let mut play = Play::new();
        play.after(
            MEDIA_START_WAIT_MAX,
            Input::Text(r#"{"event":"connected"}"#),
        );
        assert_eq!(play.ended(), Some(EndReason::NeverStarted));
    }

    #[test]
    fn a_stream_that_falls_silent_ends_but_not_before_its_time() {
        let mut play = Play::started();
        play.after(ALMOST_IDLE, Input::Text(&media(2)));
        assert_eq!(play.wait, Some(play.now + MEDIA_IDLE_MAX));
        play.after(ALMOST_IDLE, Input::Tick);
        assert_eq!(play.ended(), None);
        play.after(SECOND, Input::Tick);
        assert_eq!(play.ended(), Some(EndReason::Idle));
    }

    #[test]
    fn garbage_does_not_keep_a_silent_stream_alive() {
        let mut play = Play::started();
        play.after(ALMOST_IDLE, Input::Text("garbage"));
        play.after(SECOND, Input::Text("garbage"));
        assert_eq!(play.ended(), Some(EndReason::Idle));
    }

    #[test]
    fn a_close_and_a_shutdown_end_it_in_every_state() {
        for (input, before, after) in [
            (Input::Closed, EndReason::NeverStarted, EndReason::Dropped),
            (
                Input::Stopping,
                EndReason::ShuttingDown,
                EndReason::ShuttingDown,
            ),
        ] {
            let mut play = Play::new();
            play.input(input);
            assert_eq!(play.heard, [Output::Ended(before)]);
            let mut play = Play::started();
            play.input(input);
            assert_eq!(play.heard, [Output::Ended(after)]);
        }
    }

    #[test]
    fn after_the_end_nothing_is_heard() {
        let mut play = Play::started();
        play.text(&stop(2));
        play.heard.clear();
        let again = media(3);
        for input in [
            Input::Text(&again),
            Input::Closed,
            Input::Stopping,
            Input::Binary,
            Input::Tick,
        ] {
            play.after(MEDIA_IDLE_MAX, input);
        }
        assert_eq!((play.heard.as_slice(), play.wait), ([].as_slice(), None));
    }

    #[test]
    fn another_format_ends_the_stream_with_its_reason() {
        let mut play = Play::new();
        play.text(&start().replace("audio/x-mulaw", "audio/x-l16"));
        assert_eq!(play.heard, [Output::Ended(EndReason::ProtocolError)]);
        let reason = play.session.last_fault().unwrap().to_string();
        assert!(reason.contains("audio/x-l16"), "{reason}");
    }

    #[test]
    fn what_cannot_be_read_ends_the_stream_at_once() {
        for mut play in [Play::new(), Play::started()] {
            play.input(Input::Unreadable);
            assert_eq!(play.heard, [Output::Ended(EndReason::ProtocolError)]);
            let reason = play.session.last_fault().unwrap().to_string();
            assert!(reason.contains("65536 bytes"), "{reason}");
        }
    }

    #[test]
    fn the_first_fault_is_kept_beside_the_last() {
        let mut play = Play::started();
        play.input(Input::Binary);
        play.text("{");
        assert_eq!(play.session.first_fault(), Some(&Fault::Binary));
        let last = Fault::Message(MessageError::NotAMessage { column: 1 });
        assert_eq!(play.session.last_fault(), Some(&last));
    }

    #[test]
    fn faults_are_counted_and_named() {
        let foreign = media_of(
            "MZ00000000000000000000000000000006",
            2,
            Track::Inbound,
            1,
            &[1],
        );
        let second = start().replace(r#""1""#, r#""2""#);
        let early = media(2);
        for (started, input, fault) in [
            (
                false,
                Input::Text(&early),
                Fault::BeforeStart { event: "media" },
            ),
            (
                false,
                Input::Text(&stop(2)),
                Fault::BeforeStart { event: "stop" },
            ),
            (false, Input::Binary, Fault::Binary),
            (true, Input::Text(&foreign), Fault::ForeignStream),
            (true, Input::Text(&second), Fault::SecondStart),
            (true, Input::Binary, Fault::Binary),
            (
                true,
                Input::Text("{"),
                Fault::Message(MessageError::NotAMessage { column: 1 }),
            ),
            (
                true,
                Input::Text(
                    r#"{"event":"media","media":{"track":"inbound","timestamp":"1","payload":"?"}}"#,
                ),
                Fault::Message(MessageError::Incomplete {
                    event: "media",
                    part: "payload",
                }),
            ),
        ] {
            let mut play = if started {
                Play::started()
            } else {
                Play::new()
            };
            play.input(input);
            assert_eq!(play.heard, [], "{input:?}");
            assert_eq!(play.session.last_fault(), Some(&fault));
            assert_eq!(play.session.counts().faults, 1);
        }
    }

    #[test]
    fn one_fault_more_than_is_forgiven_ends_the_stream() {
        let mut play = Play::started();
        for _ in 0..MEDIA_FAULTS_MAX {
            play.text("garbage");
        }
        assert_eq!(play.ended(), None);
        play.text("garbage");
        assert_eq!(play.heard, [Output::Ended(EndReason::ProtocolError)]);
    }

    #[test]
    fn a_number_seen_before_is_dropped_and_a_missing_one_is_counted() {
        let mut play = Play::started();
        for sequence in [2, 3, 3, 2, 4, 7, 8] {
            play.text(&media(sequence));
        }
        let counts = play.session.counts();
        assert_eq!((counts.media, counts.duplicates, counts.missing), (5, 2, 2));
        assert_eq!(play.heard.len(), 5);
    }

    #[test]
    fn messages_that_overtake_each_other_are_all_heard_once() {
        let mut play = Play::started();
        for sequence in [3, 2, 3, 2, 200, 5, 4, 5, 1_000, 999, 1] {
            play.text(&media(sequence));
        }
        let mut heard = Vec::new();
        for output in &play.heard {
            let Output::Audio { timestamp_ms, .. } = output else {
                panic!("{output:?}")
            };
            heard.push(timestamp_ms / 20);
        }
        // 5, 4 and 1 are too far back to tell whether they came; the timeline will.
        assert_eq!(heard, [3, 2, 200, 5, 4, 5, 1_000, 999, 1]);
        assert_eq!(play.session.counts().duplicates, 2);
        assert_eq!(play.session.counts().missing, 196 + 799 - 1);
    }

    #[test]
    fn numbers_beyond_belief_cost_no_audio() {
        let mut play = Play::started();
        for sequence in [2, u64::MAX, 3, 1_000_000, 4] {
            play.text(&media_of(MZ, sequence, Track::Inbound, 100, &[1]));
        }
        let counts = play.session.counts();
        assert_eq!((counts.media, counts.duplicates, counts.missing), (5, 0, 0));
    }

    #[test]
    fn unknown_events_are_ignored_and_counted() {
        let mut play = Play::started();
        play.text(r#"{"event":"mark","mark":{"name":"m"},"sequenceNumber":"2"}"#);
        play.text(&format!(
            r#"{{"event":"dtmf","streamSid":"{MZ}","dtmf":{{"digit":"1"}}}}"#
        ));
        assert_eq!(
            (play.heard.as_slice(), play.session.counts().ignored),
            ([].as_slice(), 2)
        );
    }

    #[test]
    fn two_tracks_in_real_time_are_never_held_back() {
        let mut play = Play::started();
        for n in 0..3_000 {
            for (m, track) in Track::ALL.into_iter().enumerate() {
                let sequence = 2 + 2 * n + m as u64;
                play.text(&media_of(MZ, sequence, track, 20 * n, &[0xff; 160]));
            }
            play.now += Duration::from_millis(20);
        }
        assert_eq!(
            (play.pauses(), play.session.counts().media),
            (vec![], 6_000)
        );
    }

    #[test]
    fn audio_ahead_of_the_clock_is_held_back_and_not_lost() {
        let mut play = Play::started();
        let began = play.now;
        let second = [0xff; 8_000];
        for n in 0..200 {
            play.text(&media_of(MZ, 2 + n, Track::Inbound, 1_000 * n, &second));
            if let Some(&until) = play.pauses().last() {
                play.now = play.now.max(until);
            }
        }
        assert_eq!(play.session.counts().inbound_samples, 200 * 8_000);
        let took = play.now.duration_since(began);
        assert!(
            (168..=172).contains(&took.as_secs()),
            "200 s of audio took {took:?}"
        );
        assert!(
            play.wait.unwrap() > play.now,
            "a pause must not end in idleness"
        );
    }

    #[test]
    fn a_minute_that_was_stalled_may_come_at_once() {
        let mut play = Play::started();
        play.text(&media(2));
        play.now += Duration::from_secs(50);
        let frames = 50 * 50;
        for n in 0..frames {
            play.text(&media_of(MZ, 3 + n, Track::Inbound, 20 * n, &[0xff; 160]));
        }
        assert!(play.pauses().is_empty());
    }

    #[test]
    fn a_flood_of_messages_is_held_back_whatever_they_say() {
        for text in [
            "{\"event\":\"mark\"}".to_owned(),
            format!("{{\"event\":\"{}\"}}", "x".repeat(60_000)),
        ] {
            let mut play = Play::started();
            let began = play.now;
            for _ in 0..10_000 {
                play.text(&text);
                if let Some(&until) = play.pauses().last() {
                    play.now = play.now.max(until);
                }
            }
            let took = play.now.duration_since(began).as_secs();
            let messages = 10_000 * (1 + text.len() as u64 / 2_048);
            let wanted = (messages - 3_000) / 500;
            assert!(took.abs_diff(wanted) <= 1, "took {took} s, not {wanted}");
        }
    }

    fn texts() -> impl Strategy<Value = String> {
        prop_oneof![
            Just(start()),
            (0_u64..20).prop_map(stop),
            (0_u64..20).prop_map(media),
            any::<u64>().prop_map(media),
            Just(r#"{"event":"connected"}"#.to_owned()),
            r#"\{"event":"(start|media|stop|mark)","(start|media|stop)":(\{\}|[0-9]|null)\}"#,
            ".*",
        ]
    }

    proptest! {
        #[test]
        fn whatever_comes_there_is_one_end_and_one_start_at_most(
            inputs in prop::collection::vec((texts(), 0_u64..70_000, 0_u8..20), 0..60),
        ) {
            let mut play = Play::new();
            for (text, wait_ms, kind) in inputs {
                let input = match kind {
                    0 => Input::Closed,
                    1 => Input::Stopping,
                    2 => Input::Binary,
                    3 => Input::Tick,
                    _ => Input::Text(&text),
                };
                let wait = if wait_ms > 60_000 { wait_ms } else { wait_ms / 1_000 };
                play.after(Duration::from_millis(wait), input);
                prop_assert_eq!(play.wait.is_none(), play.ended().is_some());
            }
            let ends = play.heard.iter().filter(|o| matches!(o, Output::Ended(_))).count();
            let starts = play.heard.iter().filter(|o| matches!(o, Output::Started(_))).count();
            prop_assert!(ends <= 1 && starts <= 1);
            if ends == 1 {
                prop_assert!(matches!(play.heard.last(), Some(Output::Ended(_))));
            }
            let first_audio = play.heard.iter().position(|o| matches!(o, Output::Audio { .. }));
            let first_start = play.heard.iter().position(|o| matches!(o, Output::Started(_)));
            prop_assert!(first_audio.is_none() || first_start < first_audio);
        }
    }
}
