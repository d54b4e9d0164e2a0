//! One live call's audio: a Media Stream on one side, its voices and the engine on the other, the
//! hub above. Wiring only: what the protocol means is the session's to say, what the audio means
//! the voices', and who works when the engine's.
//!
//! ```text
//!   WebSocket ─► Session ─► Voice (inbound)  ─┬─► jobs ─► Engine
//!                       └─► Voice (outbound) ─┤              │ answers
//!                                 ▲           └─► Hub        │
//!                                 └──────────────────────────┘
//! ```
//!
//! The reader never waits for the engine: jobs are queued without waiting, answers come as one
//! more thing to select on. After the stream's end the task lives on until every word that was
//! heard is published.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::ws::{Message, WebSocket};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use crate::clock;
use crate::engine::Engine;
use crate::engine::voice::{self, Identity, Output as VoiceOutput, Voice};
use crate::engine::workers::{Addressed, Reply};
use crate::hub::Hub;
use crate::ids::{CallSid, Track};
use crate::limits;
use crate::tasks::Tasks;
use crate::transcript::{CallStatus, Direction, EndReason, EngineHealth, Event};
use crate::twilio::stream::session::{Input, Output, Session, Start};

/// How often a call looks at the engine's health.
const HEALTH_EVERY: Duration = Duration::from_secs(1);

/// Time that a peer gets to answer our closing of its socket.
const CLOSE_MAX: Duration = Duration::from_secs(2);

/// What a call needs of the server; clones are the same.
#[derive(Debug, Clone)]
pub struct Switchboard {
    /// Where words come from.
    pub engine: Arc<Engine>,
    /// Where words go.
    pub hub: Hub,
    /// Where calls run.
    pub tasks: Tasks,
    /// How voices are cut up and drafted.
    pub voice: voice::Config,
}

/// Carries one Media Stream from its socket's opening to its last published word.
pub async fn carry(mut socket: WebSocket, switchboard: Switchboard, permit: OwnedSemaphorePermit) {
    let (reply, mut answers) = mpsc::channel(limits::ANSWERS_WAITING_MAX);
    let mut line = Line::new(clock::now(), switchboard.clone(), reply);
    while line.ended.is_none() {
        tokio::select! {
            message = socket.recv(), if line.is_reading(clock::now()) => line.read(clock::now(), message),
            Some(answer) = answers.recv() => line.answer(clock::now(), answer),
            () = clock::until(line.deadline()) => line.tick(clock::now()),
            () = switchboard.tasks.stopping() => line.session(clock::now(), Input::Stopping),
        }
    }
    switchboard.tasks.spawn(async move {
        // A peer that does not answer loses nothing but its socket.
        let _ = tokio::time::timeout(CLOSE_MAX, socket.send(Message::Close(None))).await;
        drop(permit);
    });
    while !line.is_settled() {
        tokio::select! {
            Some(answer) = answers.recv() => line.answer(clock::now(), answer),
            () = clock::until(line.deadline()) => line.tick(clock::now()),
        }
    }
    line.hang_up();
}

/// A stream and what was made of it so far.
struct Line {
    switchboard: Switchboard,
    session: Session,
    call: Option<Call>,
    reply: Reply,
    read_again_at: Option<Instant>,
    session_deadline: Option<Instant>,
    health_at: Instant,
    health: EngineHealth,
    ended: Option<EndReason>,
}

/// The call that a stream is of, once it has said so.
struct Call {
    sid: CallSid,
    stream: u32,
    direction: Direction,
    voices: BTreeMap<Track, (Identity, Voice)>,
}

impl Line {
    fn new(now: Instant, switchboard: Switchboard, reply: Reply) -> Self {
        let mut line = Self {
            switchboard,
            session: Session::new(now),
            call: None,
            reply,
            read_again_at: None,
            session_deadline: None,
            health_at: now + HEALTH_EVERY,
            health: EngineHealth::Ok,
            ended: None,
        };
        line.follow_session(now);
        line
    }

    fn is_reading(&self, now: Instant) -> bool {
        self.read_again_at.is_none_or(|at| at <= now)
    }

    /// When to `tick` at the latest.
    fn deadline(&self) -> Option<Instant> {
        let voices = self.call.iter().flat_map(|call| call.voices.values());
        voices
            .filter_map(|(_, voice)| voice.deadline())
            .chain(self.session_deadline)
            .chain(self.read_again_at)
            .chain([self.health_at])
            .min()
    }

    fn read(&mut self, now: Instant, message: Option<Result<Message, axum::Error>>) {
        match message {
            Some(Ok(Message::Text(text))) => self.session(now, Input::Text(&text)),
            Some(Ok(Message::Binary(_))) => self.session(now, Input::Binary),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Close(_)) | Err(_)) | None => self.session(now, Input::Closed),
        }
    }

    fn session(&mut self, now: Instant, input: Input<'_>) {
        self.session.handle(now, input);
        self.follow_session(now);
    }

    fn tick(&mut self, now: Instant) {
        self.read_again_at.take_if(|at| *at <= now);
        if self.ended.is_none() {
            self.session(now, Input::Tick);
        }
        let voices = self
            .call
            .iter_mut()
            .flat_map(|call| call.voices.values_mut());
        for (_, voice) in voices {
            voice.handle(now, voice::Input::Tick);
        }
        self.follow_voices();
        if self.health_at <= now {
            self.health_at = now + HEALTH_EVERY;
            let (health, lag) = self.switchboard.engine.health();
            self.tell_health(health, lag);
        }
    }

    fn answer(&mut self, now: Instant, (name, answer): Addressed) {
        let voices = self
            .call
            .iter_mut()
            .flat_map(|call| call.voices.values_mut());
        if let Some((_, voice)) = voices
            .into_iter()
            .find(|(identity, _)| identity.voice == name)
            .as_mut()
        {
            voice.handle(now, voice::Input::Answer(answer));
        }
        self.follow_voices();
    }

    fn follow_session(&mut self, now: Instant) {
        while let Some(output) = self.session.poll() {
            match output {
                Output::Started(start) => self.start(&start),
                Output::Audio {
                    track,
                    timestamp_ms,
                    mulaw,
                } => {
                    self.hear(now, track, timestamp_ms, &mulaw);
                }
                Output::PauseReading(until) => self.read_again_at = Some(until),
                Output::Wait(until) => self.session_deadline = Some(until),
                Output::Ended(reason) => self.end(now, reason),
            }
        }
    }

    fn start(&mut self, start: &Start) {
        let stream = self.switchboard.hub.open(&start.call_sid);
        tracing::info!(call = ?start.call_sid, stream = ?start.stream_sid, "media stream started");
        let direction = match start.parameters.get("direction").map(String::as_str) {
            Some("incoming") => Direction::Incoming,
            _ => Direction::Outgoing,
        };
        let sid = start.call_sid.clone();
        self.call = Some(Call {
            sid,
            stream,
            direction,
            voices: BTreeMap::new(),
        });
        self.publish(Event::Call {
            status: CallStatus::InProgress,
            stream_sid: Some(start.stream_sid.clone()),
        });
    }

    fn hear(&mut self, now: Instant, track: Track, timestamp_ms: u64, mulaw: &[u8]) {
        let Some(call) = &mut self.call else { return };
        let (stream, speaker) = (call.stream, call.direction.speaker(track));
        let (_, voice) = call.voices.entry(track).or_insert_with(|| {
            let voice = self.switchboard.engine.voice();
            let identity = Identity {
                voice,
                stream,
                track,
                speaker,
            };
            (
                identity,
                Voice::new(identity, self.switchboard.voice.clone()),
            )
        });
        voice.handle(
            now,
            voice::Input::Audio {
                timestamp_ms,
                mulaw,
            },
        );
        self.follow_voices();
    }

    fn follow_voices(&mut self) {
        let mut events = Vec::new();
        let voices = self
            .call
            .iter_mut()
            .flat_map(|call| call.voices.values_mut());
        for (_, voice) in voices {
            while let Some(output) = voice.poll() {
                match output {
                    VoiceOutput::Job(job) => {
                        self.switchboard.engine.submit(job, self.reply.clone());
                    }
                    VoiceOutput::Partial(partial) => events.push(Event::Partial { partial }),
                    VoiceOutput::Segment(segment) => events.push(Event::Segment { segment }),
                }
            }
        }
        for event in events {
            let lost = matches!(&event, Event::Segment { segment } if !segment.transcribed);
            self.publish(event);
            if lost {
                self.tell_health(EngineHealth::Degraded, self.switchboard.engine.health().1);
            }
        }
    }

    fn tell_health(&mut self, health: EngineHealth, lag: Duration) {
        if health != self.health {
            self.health = health;
            let lag_ms = lag.as_millis() as u64;
            self.publish(Event::Engine {
                health,
                lag_ms,
                partials_missed: 0,
            });
        }
    }

    fn end(&mut self, now: Instant, reason: EndReason) {
        self.ended = Some(reason);
        self.session_deadline = None;
        self.read_again_at = None;
        if let Some(fault) = self
            .session
            .last_fault()
            .filter(|_| reason == EndReason::ProtocolError)
        {
            tracing::warn!(%fault, "media stream refused");
        }
        let voices = self
            .call
            .iter_mut()
            .flat_map(|call| call.voices.values_mut());
        for (_, voice) in voices {
            voice.handle(now, voice::Input::Finish);
        }
        self.follow_voices();
    }

    fn is_settled(&self) -> bool {
        let mut voices = self.call.iter().flat_map(|call| call.voices.values());
        voices.all(|(_, voice)| voice.is_settled())
    }

    /// Says that nothing more comes.
    fn hang_up(mut self) {
        let Some(reason) = self.ended.take() else {
            return;
        };
        let counts = self.session.counts();
        let Some(call) = &self.call else {
            tracing::info!(
                ?reason,
                messages = counts.messages,
                "media socket left without a call"
            );
            return;
        };
        tracing::info!(
            call = ?call.sid, ?reason, media = counts.media, duplicates = counts.duplicates,
            missing = counts.missing, faults = counts.faults, "media stream ended"
        );
        if reason == EndReason::Stopped {
            self.publish(Event::Call {
                status: CallStatus::Completed,
                stream_sid: None,
            });
        }
        self.publish(Event::Ended { reason });
    }

    fn publish(&self, event: Event) {
        if let Some(call) = &self.call {
            self.switchboard.hub.publish(&call.sid, event);
        }
    }
}
