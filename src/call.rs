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
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::ws::{Message, WebSocket};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::error::ProtocolError;

use crate::archive::{Shelf, Writer};
use crate::audio::LINE_SAMPLES_PER_MS;
use crate::clock;
use crate::engine::Engine;
use crate::engine::echo::Echoes;
use crate::engine::language::Languages;
use crate::engine::voice::{self, Identity, Output as VoiceOutput, Voice};
use crate::engine::workers::{Addressed, Reply};
use crate::hub::Hub;
use crate::ids::{CallSid, StreamSid, Track};
use crate::limits;
use crate::metrics::Metrics;
use crate::scribe::Scribe;
use crate::store::CallRecord;
use crate::store::StoreError;
use crate::tasks::Tasks;
use crate::transcript::{CallStatus, Direction, EndReason, EngineHealth, Event};
use crate::twilio::stream::session::{Admission, Input, Output, Session, Start};

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
    /// What keeps them.
    pub scribe: Scribe,
    /// Where calls' audio is kept, if it is.
    pub shelf: Option<Shelf>,
    /// Where calls run.
    pub tasks: Tasks,
    /// How voices are cut up and drafted.
    pub voice: voice::Config,
    /// What is counted.
    pub metrics: Metrics,
}

/// A stream that is over: no more audio of it comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// The call.
    pub call_sid: CallSid,
    /// The stream.
    pub stream_sid: StreamSid,
    /// Why it is over.
    pub reason: EndReason,
}

/// Carries one Media Stream from its socket's opening to its last published word. `on_end` hears
/// of the end of the audio at once, while the last words are still being recognised; of a socket
/// that never said which stream it is, it hears nothing.
///
/// `frames` changes with each message of Twilio's that arrives, and is dropped with the last.
pub async fn carry(
    mut socket: WebSocket,
    switchboard: Switchboard,
    admission: Admission,
    permit: OwnedSemaphorePermit,
    frames: watch::Sender<()>,
    on_end: impl FnOnce(Carried) + Send,
) {
    let (reply, mut answers) = mpsc::channel(limits::ANSWERS_WAITING_MAX);
    let mut line = Line::new(clock::now(), switchboard.clone(), admission, reply);
    while line.ended.is_none() {
        if let Some(start) = line.starting.take() {
            // Nothing is read meanwhile; Twilio waits longer than the database may take.
            let number = enrol(&switchboard.scribe, &start).await;
            line.start(start, number);
        }
        tokio::select! {
            message = socket.recv(), if line.is_reading(clock::now()) => {
                if let Some(Ok(Message::Text(_))) = &message {
                    frames.send_replace(());
                }
                line.read(clock::now(), message);
            }
            Some(answer) = answers.recv() => line.answer(clock::now(), answer),
            () = clock::until(line.deadline()) => line.tick(clock::now()),
            () = switchboard.tasks.stopping() => line.session(clock::now(), Input::Stopping),
        }
    }
    drop(frames);
    if let Some(carried) = line.carried() {
        on_end(carried);
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
}

/// Finds out what is known of a stream's call, and the how manyth of its streams this is. A call
/// goes on without the database: then the hub counts.
async fn enrol(scribe: &Scribe, start: &Start) -> Enrolled {
    let (call, stream) = (&start.call_sid, &start.stream_sid);
    let store = scribe.store();
    let known = async {
        let is_known = scribe.recall(call).await?;
        let record = store.call_record(call).await?;
        Ok::<_, StoreError>(record.filter(|_| is_known))
    };
    let record = known.await.unwrap_or_else(|error| {
        tracing::error!(?call, %error, "what is known of a call is not there");
        None
    });
    match store.open_stream(call, stream, clock::utc_now()).await {
        Ok(stream) => Enrolled {
            number: stream.number,
            begun_ms: Some(stream.begun_ms),
            record,
            is_deleted: false,
        },
        Err(error) => {
            tracing::error!(?call, %error, "a call's stream is not written down");
            Enrolled {
                record,
                is_deleted: matches!(error, StoreError::NoSuchCall),
                ..Enrolled::default()
            }
        }
    }
}

/// What is known of a stream's call.
#[derive(Debug, Default)]
struct Enrolled {
    number: u32,
    /// Where the stream's own clock is on the call's, by its date.
    begun_ms: Option<u64>,
    /// The call's record, if it was announced before its stream came.
    record: Option<CallRecord>,
    /// Somebody wants nothing of this call to be kept.
    is_deleted: bool,
}

/// A stream and what was made of it so far.
struct Line {
    switchboard: Switchboard,
    session: Session,
    /// The stream's start, before its call is looked up.
    starting: Option<Start>,
    call: Option<Call>,
    /// Whether the call was announced: then others tell of its end.
    is_expected: bool,
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
    stream_sid: StreamSid,
    stream: u32,
    /// Nobody but its stream tells of this call: a player's, not Twilio's.
    is_alone: bool,
    direction: Direction,
    voices: BTreeMap<Track, (Identity, Voice)>,
    /// Which words are the other party's.
    echoes: Echoes,
    /// Which language they are of, where the engine hears one only.
    languages: Option<Languages>,
    archive: Option<Writer>,
    /// Where the stream's own clock is on the call's.
    begun_ms: u64,
}

impl Line {
    fn new(now: Instant, switchboard: Switchboard, admission: Admission, reply: Reply) -> Self {
        let mut line = Self {
            switchboard,
            is_expected: admission.call_sid.is_some(),
            session: Session::new(now, admission),
            starting: None,
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
            Some(Err(error)) if is_breach(&error) => self.session(now, Input::Unreadable),
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
                Output::Started(start) => self.starting = Some(start),
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

    fn start(&mut self, start: Start, enrolled: Enrolled) {
        let stream = self.switchboard.hub.open(&start.call_sid, enrolled.number);
        let begun_ms = enrolled.begun_ms;
        let begun_ms = (self.switchboard.hub).begin(&start.call_sid, begun_ms, clock::now());
        self.switchboard.scribe.follow(&start.call_sid);
        tracing::info!(
            call = ?start.call_sid, stream = ?start.stream_sid, number = stream,
            "media stream started"
        );
        let said = start.parameters.get("direction").map(String::as_str);
        let is_alone = !self.is_expected && enrolled.record.is_none();
        let (direction, status) = match enrolled.record {
            Some(record) => (record.direction, record.status),
            None if said == Some("incoming") => (Direction::Incoming, CallStatus::InProgress),
            None => (Direction::Outgoing, CallStatus::InProgress),
        };
        let stream_sid = start.stream_sid.clone();
        let begun = Duration::from_millis(begun_ms);
        let archives = self.switchboard.shelf.as_ref();
        let archives = archives.filter(|_| !enrolled.is_deleted);
        let archive = archives.map(|shelf| shelf.writer(&start.call_sid, begun));
        if let Some(archive) = &archive {
            let scribe = &self.switchboard.scribe;
            scribe.note_audio(&start.call_sid, archive.begun());
        }
        self.call = Some(Call {
            sid: start.call_sid,
            stream_sid: start.stream_sid,
            stream,
            is_alone,
            direction,
            voices: BTreeMap::new(),
            echoes: Echoes::default(),
            languages: self.switchboard.voice.language.clone().map(Languages::new),
            archive,
            begun_ms,
        });
        if let Some(call) = &self.call {
            self.switchboard.hub.carried(&call.sid, stream_sid, status);
        }
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
        let (at, samples) = voice.laid();
        call.echoes.hear(track, at, samples);
        if let Some(archive) = &call.archive {
            archive.push(track, at, samples);
        }
        let position_ms = voice.timeline().position() / LINE_SAMPLES_PER_MS;
        for (other, (_, voice)) in &mut call.voices {
            if *other != track {
                voice.handle(now, voice::Input::OtherTrack { position_ms });
            }
        }
        self.follow_voices();
    }

    fn follow_voices(&mut self) {
        let mut events = Vec::new();
        let metrics = &self.switchboard.metrics;
        let Some(call) = &mut self.call else { return };
        let begun_ms = call.begun_ms.cast_signed();
        for (_, voice) in call.voices.values_mut() {
            while let Some(output) = voice.poll() {
                match output {
                    VoiceOutput::Job(job) => {
                        self.switchboard.engine.submit(job, self.reply.clone());
                    }
                    VoiceOutput::Partial(mut partial) => {
                        partial.echo = call.echoes.seems_echo(partial.track, partial.start_ms);
                        if partial.revision == 1 {
                            let heard = voice.timeline().position() / LINE_SAMPLES_PER_MS;
                            let after = heard.saturating_sub(partial.start_ms);
                            metrics.drafted(Duration::from_millis(after));
                        }
                        events.push(Event::Partial { partial });
                    }
                    VoiceOutput::Segment(mut segment) => {
                        let (start_ms, end_ms) = (segment.start_ms, segment.end_ms);
                        segment.echo = call.echoes.is_echo(segment.track, start_ms, end_ms);
                        metrics.settled(&segment);
                        let doubts = call.languages.as_mut().and_then(|all| all.take(&segment));
                        events.push(Event::Segment { segment });
                        events.extend(doubts.map(|doubts| Event::Language { doubts }));
                    }
                }
            }
        }
        for event in events {
            let lost = matches!(&event, Event::Segment { segment } if !segment.transcribed);
            self.publish(event.moved(begun_ms));
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
        if self.call.is_none() {
            tracing::info!(?reason, "media socket left without a call");
        }
        self.ended = Some(reason);
        self.session_deadline = None;
        self.read_again_at = None;
        if reason == EndReason::ProtocolError
            && let Some((first, fault)) = self.session.first_fault().zip(self.session.last_fault())
        {
            tracing::warn!(first_fault = %first, %fault, "media stream refused");
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

    fn carried(&self) -> Option<Carried> {
        let call = self.call.as_ref()?;
        Some(Carried {
            call_sid: call.sid.clone(),
            stream_sid: call.stream_sid.clone(),
            reason: self.ended?,
        })
    }

    fn is_settled(&self) -> bool {
        let mut voices = self.call.iter().flat_map(|call| call.voices.values());
        voices.all(|(_, voice)| voice.is_settled())
    }

    /// Says that nothing more comes. Once: at the end, or when the task is cut short.
    fn hang_up(&mut self) {
        let reason = self.ended.unwrap_or(EndReason::ShuttingDown);
        let counts = self.session.counts();
        let Some(call) = self.call.take() else {
            return;
        };
        tracing::info!(
            call = ?call.sid, ?reason, media = counts.media, duplicates = counts.duplicates,
            missing = counts.missing, faults = counts.faults, "media stream ended"
        );
        let metrics = &self.switchboard.metrics;
        metrics.stream_ended(reason);
        metrics.media_lost("missing", counts.missing);
        metrics.media_lost("duplicate", counts.duplicates);
        metrics.media_lost("malformed", counts.faults.into());
        let is_over = call.is_alone && reason == EndReason::Stopped;
        let completed = is_over.then_some(Event::Call {
            status: CallStatus::Completed,
            stream_sid: None,
        });
        let farewell = completed.into_iter().chain([Event::Ended { reason }]);
        self.switchboard.hub.close(&call.sid, farewell);
    }

    fn publish(&self, event: Event) {
        if let Some(call) = &self.call {
            self.switchboard.hub.publish(&call.sid, event);
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.hang_up();
    }
}

/// Whether the peer sent what must not be sent, other than just being gone.
fn is_breach(error: &axum::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref());
    match cause {
        Some(tungstenite::Error::Protocol(cause)) => {
            *cause != ProtocolError::ResetWithoutClosingHandshake
        }
        cause => matches!(
            cause,
            Some(tungstenite::Error::Capacity(_) | tungstenite::Error::Utf8(_))
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::recording::Recording;
    use crate::audio::{LINE_HZ, mulaw};
    use crate::engine::recognizer::{
        HeardWord, Hypothesis, RecognizeError, Recognizer, Request, ScriptedRecognizer,
    };
    use crate::hub::Subscription;
    use crate::store::Store;
    use crate::transcript::{LanguageDoubt, Speaker};
    use crate::twilio::stream::message::{Body, Media, Message as StreamMessage};

    const CALL: &str = "CA00000000000000000000000000000001";
    const STREAM: &str = "MZ00000000000000000000000000000001";

    struct Fails;

    impl Recognizer for Fails {
        fn recognize(&mut self, _: &Request<'_>) -> Result<Hypothesis, RecognizeError> {
            Err(RecognizeError::Failed("as the test wants".to_owned()))
        }
    }

    /// Hears the same word in everything, and is as sure of it as it is told.
    struct Unsure(f32);

    impl Recognizer for Unsure {
        fn recognize(&mut self, request: &Request<'_>) -> Result<Hypothesis, RecognizeError> {
            let word = HeardWord {
                text: "mumble".to_owned(),
                start_ms: 0,
                end_ms: request.speech_end_ms,
                confidence: self.0,
            };
            Ok(Hypothesis {
                words: vec![word],
                language: "en".to_owned(),
                mean_logprob: -1.0,
            })
        }
    }

    /// A line without a socket, on a clock that the test sets.
    struct Stage {
        line: Line,
        answers: mpsc::Receiver<Addressed>,
        listener: Subscription,
        now: Instant,
        sent_ms: u64,
    }

    /// "Weasels have eaten our phone system", 3 s.
    fn weasels() -> Vec<i16> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/prompts/weasels.wav");
        let call = Recording::read_all(path.as_ref(), LINE_HZ).unwrap();
        crate::audio::to_i16(&call[0])
    }

    impl Stage {
        async fn new(recognizer: impl Recognizer + 'static) -> Self {
            let (hub, tasks) = (Hub::new(), Tasks::default());
            let store = Store::open("sqlite::memory:").await.unwrap();
            let switchboard = Switchboard {
                engine: Arc::new(Engine::start(vec![Box::new(recognizer)])),
                scribe: Scribe::new(store, hub.clone(), tasks.clone()),
                shelf: None,
                hub,
                tasks,
                voice: voice::Config::default(),
                metrics: Metrics::default(),
            };
            let listener = switchboard
                .hub
                .subscribe(&CallSid::parse(CALL).unwrap(), None)
                .unwrap();
            let (reply, answers) = mpsc::channel(limits::ANSWERS_WAITING_MAX);
            let now = clock::now();
            Self {
                line: Line::new(now, switchboard, Admission::default(), reply),
                answers,
                listener,
                now,
                sent_ms: 0,
            }
        }

        fn text(&mut self, text: &str) {
            self.line.read(self.now, Some(Ok(Message::text(text))));
        }

        fn start(&mut self) {
            let start = format!(
                r#"{{"event":"start","sequenceNumber":"1","streamSid":"{STREAM}","start":{{"accountSid":"AC00000000000000000000000000000001","streamSid":"{STREAM}","callSid":"{CALL}","tracks":["inbound"],"mediaFormat":{{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}}}}}}"#
            );
            self.text(&start);
            let start = self
                .line
                .starting
                .take()
                .expect("a stream that says what it is of");
            self.line.start(start, Enrolled::default());
            self.listener.read(); // the snapshot
        }

        /// Two seconds of a voice, in real time, without an end.
        fn speak(&mut self) {
            let speech = weasels();
            self.play(&[(Track::Inbound, &speech[..100 * 160])]);
        }

        /// Sends tracks in real time, side by side; they are equally long.
        fn play(&mut self, tracks: &[(Track, &[i16])]) {
            let frames = tracks[0].1.len() / 160;
            for n in 0..frames {
                self.now += Duration::from_millis(20);
                for &(track, samples) in tracks {
                    let frame = &samples[n * 160..][..160];
                    let media = Media {
                        track,
                        chunk: None,
                        timestamp_ms: self.sent_ms,
                        mulaw: frame.iter().map(|&s| mulaw::encode(s)).collect(),
                    };
                    let message = StreamMessage {
                        sequence: None,
                        stream_sid: None,
                        body: Body::Media(media),
                    };
                    self.text(&message.to_json());
                }
                self.sent_ms += 20;
            }
        }

        fn session_closes(&mut self) {
            self.line.session(self.now, Input::Closed);
        }

        /// Goes on as `carry` does after the end.
        async fn settle(mut self) -> Vec<Event> {
            while !self.line.is_settled() {
                let answer = self.answers.recv().await.expect("the line holds a sender");
                self.line.answer(self.now, answer);
            }
            drop(self.line);
            let heard = self.listener.read().into_iter();
            heard.map(|event| event.event.clone()).collect()
        }

        /// Lets time go by as `carry` does: from deadline to deadline.
        fn wait(&mut self, time: Duration) {
            let until = self.now + time;
            while let Some(at) = self.line.deadline().filter(|at| *at <= until) {
                self.now = self.now.max(at);
                self.line.tick(self.now);
                if self.line.ended.is_some() {
                    return;
                }
                let next = self.line.deadline();
                assert!(next > Some(self.now), "a deadline that never passes");
            }
            self.now = until;
        }
    }

    #[tokio::test]
    async fn a_socket_without_a_start_is_left_at_its_deadline_and_nobody_hears_of_it() {
        let mut stage = Stage::new(ScriptedRecognizer::default()).await;
        let begin = stage.now;
        stage.text(r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#);
        stage.wait(limits::MEDIA_START_WAIT_MAX * 3);
        assert_eq!(stage.line.ended, Some(EndReason::NeverStarted));
        assert_eq!(stage.now - begin, limits::MEDIA_START_WAIT_MAX);
        let heard = stage.settle().await;
        assert!(matches!(heard[..], [Event::Snapshot { .. }]), "{heard:?}");
    }

    #[tokio::test]
    async fn a_stream_that_falls_silent_in_a_word_says_it_and_ends_later() {
        let mut stage = Stage::new(ScriptedRecognizer::default()).await;
        stage.start();
        stage.speak();
        let silent_since = stage.now;
        stage.wait(voice::Config::default().stall_endpoint);
        assert_eq!(stage.line.ended, None);
        let voices = &stage.line.call.as_ref().unwrap().voices;
        assert_eq!(
            voices[&Track::Inbound].1.deadline(),
            None,
            "the utterance is still open"
        );
        stage.wait(limits::MEDIA_IDLE_MAX * 2);
        assert_eq!(stage.line.ended, Some(EndReason::Idle));
        assert_eq!(stage.now - silent_since, limits::MEDIA_IDLE_MAX);
        let heard = stage.settle().await;
        let [.., Event::Segment { segment }, Event::Ended { reason }] = &heard[..] else {
            panic!("{heard:?}")
        };
        assert_eq!(
            (segment.text.as_str(), *reason),
            ("one two", EndReason::Idle)
        );
    }

    #[tokio::test]
    async fn words_that_could_not_be_recognised_make_the_engine_degraded_until_it_is_well_again() {
        let mut stage = Stage::new(Fails).await;
        stage.start();
        stage.speak();
        stage.listener.read();
        stage.wait(voice::Config::default().stall_endpoint);
        while stage.line.health != EngineHealth::Degraded {
            let answer = stage.answers.recv().await.unwrap();
            stage.line.answer(stage.now, answer);
        }
        let heard = stage.listener.read();
        let [lost, health] = &heard[..] else {
            panic!("{heard:?}")
        };
        assert!(matches!(&lost.event, Event::Segment { segment } if !segment.transcribed));
        let degraded = EngineHealth::Degraded;
        assert!(matches!(health.event, Event::Engine { health, .. } if health == degraded));
        stage.wait(HEALTH_EVERY * 2);
        assert_eq!(stage.line.health, EngineHealth::Ok);
    }

    #[tokio::test]
    async fn words_that_come_back_on_the_other_track_are_marked_as_an_echo() {
        let mut stage = Stage::new(ScriptedRecognizer::default()).await;
        stage.start();
        let mut agent = vec![0; 8_000];
        agent.extend(weasels());
        agent.extend(vec![0; 16_000]);
        // 80 ms later, 12 dB below.
        let late = std::iter::repeat_n(&0, 80 * 8).chain(&agent);
        let customer: Vec<i16> = late.map(|sample| sample / 4).take(agent.len()).collect();
        let middle = 24_000; // two seconds of speech
        stage.play(&[
            (Track::Inbound, &agent[..middle]),
            (Track::Outbound, &customer[..middle]),
        ]);
        // The first draft of each track.
        for _ in Track::ALL {
            let answer = stage.answers.recv().await.unwrap();
            stage.line.answer(stage.now, answer);
        }
        let heard = stage.listener.read().into_iter();
        let mut drafts: Vec<_> = heard
            .filter_map(|event| {
                let Event::Partial { partial } = &event.event else {
                    return None;
                };
                Some((partial.track, partial.echo))
            })
            .collect();
        drafts.sort_unstable();
        assert_eq!(drafts, [(Track::Inbound, false), (Track::Outbound, true)]);

        stage.play(&[
            (Track::Inbound, &agent[middle..]),
            (Track::Outbound, &customer[middle..]),
        ]);
        stage.session_closes();
        let heard = stage.settle().await;
        let finals = heard.iter().filter_map(|event| {
            let Event::Segment { segment } = event else {
                return None;
            };
            Some((segment.track, segment.echo))
        });
        let mut finals: Vec<_> = finals.collect();
        finals.sort_unstable();
        assert_eq!(finals, [(Track::Inbound, false), (Track::Outbound, true)]);
    }

    #[tokio::test]
    async fn unsure_words_several_times_in_a_row_are_said_to_be_another_language() {
        for (confidence, is_doubted) in [(0.3, true), (0.9, false)] {
            let mut stage = Stage::new(Unsure(confidence)).await;
            stage.start();
            let mut three_times = Vec::new();
            for _ in 0..3 {
                three_times.extend(weasels());
                three_times.extend(vec![0; 16_000]);
            }
            stage.play(&[(Track::Inbound, &three_times)]);
            stage.session_closes();
            let heard = stage.settle().await;
            let doubts = heard.iter().filter_map(|event| {
                let Event::Language { doubts } = event else {
                    return None;
                };
                Some(doubts.clone())
            });
            let doubt = LanguageDoubt {
                speaker: Speaker::Agent,
                expected: "en".to_owned(),
            };
            let wanted = if is_doubted {
                vec![vec![doubt]]
            } else {
                vec![]
            };
            assert_eq!(doubts.collect::<Vec<_>>(), wanted);
        }
    }

    #[tokio::test]
    async fn a_flood_is_left_unread_for_a_while() {
        let mut stage = Stage::new(ScriptedRecognizer::default()).await;
        stage.start();
        let mut read = 0;
        while stage.line.is_reading(stage.now) {
            stage.text(r#"{"event":"mark"}"#);
            read += 1;
        }
        assert!((2_500..4_000).contains(&read), "{read} messages were read");
        stage.wait(Duration::from_secs(1));
        assert!(stage.line.is_reading(stage.now) && stage.line.ended.is_none());
    }
}
