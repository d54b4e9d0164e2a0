//! One Media Stream as a state machine: the input is text messages; the output is audio, deadlines and the
//! reason for the end. Pure: no I/O; takes `now`.
//!
//! The driver passes every event to [`StreamSession::handle`], then drains [`StreamSession::poll`]. The last
//! output is [`SessionOutput::Timeout`]: the driver calls `handle` again at that time at the latest, with
//! [`SessionInput::Tick`].
//!
//! ```text
//!                 start                        stop · close · idle
//! AwaitingStart ─────────► Streaming ────────────────────────────► Done
//!       │                                                            ▲
//!       └── close · deadline · foreign format · faults · shutdown ───┘
//! ```
//!
//! Twilio sends in real time. A faster sender is not refused but slowed down: the session asks the driver to
//! stop reading the socket for a while ([`SessionOutput::PauseReading`]), TCP applies backpressure to the
//! sender, and no data is lost.

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
use crate::twilio::stream::message::MediaFrame;
use crate::twilio::stream::message::MessageBody;
use crate::twilio::stream::message::MessageError;
use crate::twilio::stream::message::StreamMessage;

pub use crate::twilio::stream::message::StreamStart;

/// Rate limit cost of a message in time: a sustained 500 messages a second. Twilio sends 100 for both tracks.
const MESSAGE_COST: Duration = Duration::from_millis(2);

/// Burst limit in messages: as many as Twilio sends in half a minute.
const MESSAGES_AT_ONCE: u32 = 3_000;

/// Bytes of a message that count as one further message.
const BYTES_PER_MESSAGE: usize = 2_048;

/// A pause lasts until this much of the burst is available again, so that pauses are few.
const PAUSE_SLACK: Duration = Duration::from_millis(250);

/// Largest plausible increase of a sequence number. Beyond it, the message is handled as if it had no number.
const SEQUENCE_LEAP_MAX: u64 = 1_000;

/// An event for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionInput<'a> {
    /// A text message arrived.
    Text(&'a str),
    /// A binary message arrived; Twilio never sends one.
    Binary,
    /// Data that violates the WebSocket protocol, or a message over the length limit.
    Unreadable,
    /// The socket was closed, or failed.
    Closed,
    /// This server is shutting down.
    Stopping,
    /// Time has passed.
    Tick,
}

/// An output of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionOutput {
    /// The stream's metadata. Emitted once, before any audio.
    Started(StreamStart),
    /// A frame of one track.
    Audio {
        /// The track of the audio.
        track: Track,
        /// Milliseconds from the start of the stream.
        timestamp_ms: u64,
        /// G.711 μ-law, 8 kHz; not empty.
        mulaw: Vec<u8>,
    },
    /// Do not read the socket before this time.
    PauseReading(Instant),
    /// Call `handle` by this time. Always the last output before `poll` returns `None`.
    Timeout(Instant),
    /// The stream has ended: close the socket. No output follows.
    Ended(EndReason),
}

/// A protocol violation by the stream. A session tolerates [`MEDIA_FAULTS_MAX`] of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamFault {
    /// A text that does not parse as a message.
    #[error("the stream sent {0}")]
    Message(#[from] MessageError),
    /// A binary message.
    #[error("the stream sent a binary message")]
    Binary,
    /// `media` or `stop` before `start`.
    #[error("the stream sent {event} before start")]
    BeforeStart {
        /// The event's name.
        event: &'static str,
    },
    /// A message of another stream.
    #[error("the stream sent a message of another stream")]
    ForeignStream,
    /// Bytes that are not an acceptable WebSocket message.
    #[error(
        "the stream sent data that violates the WebSocket protocol, or a message of more than \
         {MEDIA_MESSAGE_BYTES_MAX} bytes"
    )]
    Unreadable,
    /// A second `start`.
    #[error("the stream sent a second start")]
    SecondStart,
    /// A `start` for another call or account than the one that this socket was opened for. Ends the stream.
    #[error("the stream belongs to another call than the one that this socket was opened for")]
    ForeignCall,
}

/// The call and the account that a stream must belong to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamBinding {
    /// The call that the socket was opened for; `None`: any.
    pub call_sid: Option<CallSid>,
    /// The account of the call; `None`: any.
    pub account_sid: Option<AccountSid>,
}

impl StreamBinding {
    /// Returns whether `start` matches. A stream without an account SID is accepted: the socket's secret
    /// identifies the call.
    fn matches_start(&self, start: &StreamStart) -> bool {
        let account = self.account_sid.as_ref().zip(start.account_sid.as_deref());
        self.call_sid
            .as_ref()
            .is_none_or(|sid| *sid == start.call_sid)
            && account.is_none_or(|(ours, theirs)| ours.as_str() == theirs)
    }
}

/// Counters of one stream, for its log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamCounts {
    /// Text messages.
    pub messages: u64,
    /// Frames that were passed on.
    pub media: u64,
    /// Samples of the inbound track.
    pub inbound_samples: u64,
    /// Samples of the outbound track.
    pub outbound_samples: u64,
    /// Messages with a sequence number that had already arrived; they were dropped.
    pub duplicates: u64,
    /// Sequence numbers that did not arrive.
    pub missing: u64,
    /// Messages with an event that this program does not use.
    pub ignored: u64,
    /// [`StreamFault`]s.
    pub faults: u32,
    /// Times that reading was paused.
    pub pauses: u64,
}

/// One Media Stream.
#[derive(Debug)]
pub struct StreamSession {
    state: SessionState,
    binding: StreamBinding,
    outputs: VecDeque<SessionOutput>,
    /// Whether `Timeout` is due since the last `handle`.
    timeout_pending: bool,
    message_limiter: RateLimiter,
    counts: StreamCounts,
    first_fault: Option<StreamFault>,
    last_fault: Option<StreamFault>,
}

#[derive(Debug)]
enum SessionState {
    AwaitingStart { deadline: Instant },
    Streaming(StreamingState),
    Done,
}

#[derive(Debug)]
struct StreamingState {
    deadline: Instant,
    stream_sid: String,
    sequence_window: SequenceWindow,
    track_limiters: BTreeMap<Track, RateLimiter>,
}

impl StreamSession {
    /// Creates a session for a socket that has just opened.
    pub fn new(now: Instant, binding: StreamBinding) -> Self {
        Self {
            binding,
            state: SessionState::AwaitingStart {
                deadline: now + MEDIA_START_WAIT_MAX,
            },
            outputs: VecDeque::new(),
            timeout_pending: true,
            message_limiter: RateLimiter::new(now, MESSAGE_COST * MESSAGES_AT_ONCE, Duration::ZERO),
            counts: StreamCounts::default(),
            first_fault: None,
            last_fault: None,
        }
    }

    /// Handles one event. Drain [`StreamSession::poll`] before the next call.
    pub fn handle(&mut self, now: Instant, input: SessionInput<'_>) {
        if matches!(self.state, SessionState::Done) {
            return;
        }
        self.timeout_pending = true;
        match input {
            SessionInput::Text(text) => self.handle_text(now, text),
            SessionInput::Binary => self.record_fault(StreamFault::Binary),
            SessionInput::Unreadable => {
                self.record_fault(StreamFault::Unreadable);
                self.end(EndReason::ProtocolError);
            }
            SessionInput::Stopping => self.end(EndReason::ShuttingDown),
            SessionInput::Closed => match self.state {
                SessionState::AwaitingStart { .. } => self.end(EndReason::NeverStarted),
                SessionState::Streaming(_) => self.end(EndReason::Dropped),
                SessionState::Done => {}
            },
            SessionInput::Tick => {}
        }
        match &self.state {
            SessionState::AwaitingStart { deadline } if now >= *deadline => {
                self.end(EndReason::NeverStarted);
            }
            SessionState::Streaming(streaming) if now >= streaming.deadline => {
                self.end(EndReason::Idle);
            }
            SessionState::AwaitingStart { .. }
            | SessionState::Streaming(_)
            | SessionState::Done => {}
        }
    }

    /// Returns the next output; `None` when there are no more.
    pub fn poll(&mut self) -> Option<SessionOutput> {
        if let Some(output) = self.outputs.pop_front() {
            return Some(output);
        }
        let deadline = match &self.state {
            SessionState::AwaitingStart { deadline } => *deadline,
            SessionState::Streaming(streaming) => streaming.deadline,
            SessionState::Done => return None,
        };
        std::mem::take(&mut self.timeout_pending).then_some(SessionOutput::Timeout(deadline))
    }

    /// Returns the stream's counters up to now.
    pub fn counts(&self) -> StreamCounts {
        self.counts
    }

    /// Returns the first fault, which often causes the others.
    pub fn first_fault(&self) -> Option<&StreamFault> {
        self.first_fault.as_ref()
    }

    /// Returns the latest fault: after [`EndReason::ProtocolError`], its cause.
    pub fn last_fault(&self) -> Option<&StreamFault> {
        self.last_fault.as_ref()
    }

    fn handle_text(&mut self, now: Instant, text: &str) {
        self.counts.messages += 1;
        let weight = 1 + (text.len() / BYTES_PER_MESSAGE) as u32;
        let mut pause = self.message_limiter.consume(now, MESSAGE_COST * weight);
        match StreamMessage::parse(text) {
            Ok(message) => pause = pause.max(self.handle_message(now, message)),
            Err(error @ MessageError::Format { .. }) => {
                self.record_fault(StreamFault::Message(error));
                self.end(EndReason::ProtocolError);
            }
            Err(error) => self.record_fault(StreamFault::Message(error)),
        }
        let Some(until) = pause else { return };
        match &mut self.state {
            SessionState::Done => return,
            SessionState::AwaitingStart { .. } => {}
            // The socket is not read during a pause, so the pause does not count as idle time.
            SessionState::Streaming(streaming) => {
                streaming.deadline = streaming.deadline.max(until + MEDIA_IDLE_MAX);
            }
        }
        self.counts.pauses += 1;
        self.outputs.push_back(SessionOutput::PauseReading(until));
    }

    /// Handles a parsed message; returns the time until which its audio requires a pause.
    fn handle_message(&mut self, now: Instant, message: StreamMessage) -> Option<Instant> {
        let StreamMessage {
            sequence,
            stream_sid,
            body,
        } = message;
        let streaming = match &mut self.state {
            SessionState::Done => return None,
            SessionState::AwaitingStart { .. } => {
                self.handle_before_start(now, sequence, body);
                return None;
            }
            SessionState::Streaming(streaming) => streaming,
        };
        if stream_sid.is_some_and(|sid| sid != streaming.stream_sid) {
            self.record_fault(StreamFault::ForeignStream);
            return None;
        }
        match sequence.map_or(SequenceOutcome::InOrder { missing: 0 }, |number| {
            streaming.sequence_window.record(number)
        }) {
            SequenceOutcome::InOrder { missing } => self.counts.missing += missing,
            SequenceOutcome::Late => self.counts.missing = self.counts.missing.saturating_sub(1),
            SequenceOutcome::Duplicate => {
                self.counts.duplicates += 1;
                return None;
            }
        }
        match body {
            MessageBody::Start(_) => self.record_fault(StreamFault::SecondStart),
            MessageBody::Stop { .. } => self.end(EndReason::Stopped),
            MessageBody::Connected => streaming.deadline = now + MEDIA_IDLE_MAX,
            MessageBody::Other { .. } => {
                streaming.deadline = now + MEDIA_IDLE_MAX;
                self.counts.ignored += 1;
            }
            MessageBody::Media(media) => {
                streaming.deadline = now + MEDIA_IDLE_MAX;
                let pause = streaming.limit_track_rate(now, &media);
                self.emit_audio(media);
                return pause;
            }
        }
        None
    }

    /// Handles a message before `start`.
    fn handle_before_start(&mut self, now: Instant, sequence: Option<u64>, body: MessageBody) {
        match body {
            MessageBody::Connected => {}
            MessageBody::Other { .. } => self.counts.ignored += 1,
            MessageBody::Media(_) => self.record_fault(StreamFault::BeforeStart { event: "media" }),
            MessageBody::Stop { .. } => {
                self.record_fault(StreamFault::BeforeStart { event: "stop" });
            }
            MessageBody::Start(start) if !self.binding.matches_start(&start) => {
                self.record_fault(StreamFault::ForeignCall);
                self.end(EndReason::ProtocolError);
            }
            MessageBody::Start(start) => {
                self.state = SessionState::Streaming(StreamingState {
                    deadline: now + MEDIA_IDLE_MAX,
                    stream_sid: start.stream_sid.as_str().to_owned(),
                    sequence_window: SequenceWindow {
                        highest: sequence,
                        seen: 1,
                    },
                    track_limiters: BTreeMap::new(),
                });
                self.outputs.push_back(SessionOutput::Started(start));
            }
        }
    }

    fn emit_audio(&mut self, media: MediaFrame) {
        let MediaFrame {
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
        self.outputs.push_back(SessionOutput::Audio {
            track,
            timestamp_ms,
            mulaw,
        });
    }

    fn record_fault(&mut self, fault: StreamFault) {
        self.counts.faults += 1;
        self.first_fault.get_or_insert_with(|| fault.clone());
        self.last_fault = Some(fault);
        if self.counts.faults > MEDIA_FAULTS_MAX {
            self.end(EndReason::ProtocolError);
        }
    }

    fn end(&mut self, reason: EndReason) {
        if !matches!(self.state, SessionState::Done) {
            self.state = SessionState::Done;
            self.outputs.push_back(SessionOutput::Ended(reason));
        }
    }
}

/// The sequence numbers that have arrived. TCP preserves the order, but intermediaries between Twilio and
/// this server may not.
#[derive(Debug)]
struct SequenceWindow {
    highest: Option<u64>,
    /// Bit `n`: whether `highest - n` has arrived.
    seen: u128,
}

enum SequenceOutcome {
    /// New, and the highest up to now, or outside the window.
    InOrder {
        /// Numbers that were skipped.
        missing: u64,
    },
    /// A number that had been skipped.
    Late,
    /// A number that had already arrived.
    Duplicate,
}

impl SequenceWindow {
    fn record(&mut self, number: u64) -> SequenceOutcome {
        let Some(highest) = self.highest else {
            *self = Self {
                highest: Some(number),
                seen: 1,
            };
            return SequenceOutcome::InOrder { missing: 0 };
        };
        if number > highest {
            let leap = number - highest;
            if leap > SEQUENCE_LEAP_MAX {
                return SequenceOutcome::InOrder { missing: 0 };
            }
            self.seen = self.seen.checked_shl(leap as u32).unwrap_or(0) | 1;
            self.highest = Some(number);
            return SequenceOutcome::InOrder { missing: leap - 1 };
        }
        // Older than the window: the timeline detects from the timestamp whether the audio is a duplicate.
        let Some(bit) = 1_u128.checked_shl((highest - number).try_into().unwrap_or(u32::MAX))
        else {
            return SequenceOutcome::InOrder { missing: 0 };
        };
        if self.seen & bit != 0 {
            return SequenceOutcome::Duplicate;
        }
        self.seen |= bit;
        SequenceOutcome::Late
    }
}

impl StreamingState {
    /// Limits a track's audio to real time.
    fn limit_track_rate(&mut self, now: Instant, media: &MediaFrame) -> Option<Instant> {
        let ahead_max = Duration::from_millis(MEDIA_AHEAD_MS_MAX);
        let limiter = self
            .track_limiters
            .entry(media.track)
            .or_insert_with(|| RateLimiter::new(now, ahead_max, ahead_max));
        let samples = media.mulaw.len() as u64;
        limiter.consume(
            now,
            Duration::from_micros(samples * 1_000_000 / u64::from(LINE_HZ)),
        )
    }
}

/// Limits a rate to real time plus a burst. (The generic cell rate algorithm: one instant instead of a
/// bucket's level, <https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm>.)
#[derive(Debug)]
struct RateLimiter {
    /// The time at which the consumed amount runs out.
    taken_until: Instant,
    /// Limit of `taken_until` ahead of now.
    ahead_max: Duration,
    /// Limit of `taken_until` behind now: the burst allowed after a stall.
    behind_max: Duration,
}

impl RateLimiter {
    fn new(now: Instant, ahead_max: Duration, behind_max: Duration) -> Self {
        Self {
            taken_until: now,
            ahead_max,
            behind_max,
        }
    }

    /// Consumes `cost`; returns the time until which to pause if the limit is exceeded.
    fn consume(&mut self, now: Instant, cost: Duration) -> Option<Instant> {
        let behind = now.saturating_duration_since(self.taken_until);
        self.taken_until += behind.saturating_sub(self.behind_max) + cost;
        let ahead = self.taken_until.saturating_duration_since(now);
        let over = ahead.saturating_sub(self.ahead_max);
        (!over.is_zero()).then(|| now + over + PAUSE_SLACK)
    }
}

#[cfg(test)]
mod tests;
