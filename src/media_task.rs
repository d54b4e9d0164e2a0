//! The audio of one live call: connects its Media Stream, its tracks, the engine and the hub. Wiring only:
//! the session implements the protocol, the tracks interpret the audio, and the engine schedules the work.
//!
//! ```text
//!   WebSocket ─► StreamSession ─► TrackPipeline (inbound)  ─┬─► jobs ─► Engine
//!                             └─► TrackPipeline (outbound) ─┤              │ results
//!                                       ▲                   └─► Hub        │
//!                                       └──────────────────────────────────┘
//! ```
//!
//! The reader never waits for the engine: jobs are queued without waiting, and results are one more branch of
//! the select. After the end of the stream the task lives until all recognised speech has been published.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::ws::{Message, WebSocket};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::error::ProtocolError;

use crate::archive::{ArchiveWriter, AudioArchive};
use crate::audio::LINE_SAMPLES_PER_MS;
use crate::clock;
use crate::engine::Engine;
use crate::engine::echo::EchoDetector;
use crate::engine::language::LanguageMonitor;
use crate::engine::track::{TrackConfig, TrackIdentity, TrackInput, TrackOutput, TrackPipeline};
use crate::engine::workers::{ResultSender, TrackResult};
use crate::hub::Hub;
use crate::ids::{CallSid, StreamSid, Track};
use crate::limits;
use crate::metrics::Metrics;
use crate::store::CallRecord;
use crate::store::StoreError;
use crate::tasks::Tasks;
use crate::transcript::{CallStatus, Direction, EndReason, EngineHealth, Event};
use crate::transcript_writer::TranscriptWriter;
use crate::twilio::stream::session::{
    SessionInput, SessionOutput, StreamBinding, StreamSession, StreamStart,
};

/// Interval between checks of the engine's health.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);

/// Time for sending the close frame to the peer.
const CLOSE_WAIT_MAX: Duration = Duration::from_secs(2);

/// The parts of the server that a media task uses; cheap to clone.
#[derive(Debug, Clone)]
pub struct MediaDeps {
    /// Runs recognition jobs.
    pub engine: Arc<Engine>,
    /// Publishes the call's events.
    pub hub: Hub,
    /// Stores the call's transcript.
    pub transcript_writer: TranscriptWriter,
    /// Stores the call's audio; `None` if the archive is off.
    pub audio_archive: Option<AudioArchive>,
    /// Runs the call's tasks.
    pub tasks: Tasks,
    /// Settings of each track.
    pub track_config: TrackConfig,
    /// Counts streams, segments and lost media.
    pub metrics: Metrics,
}

/// A stream after the end of its audio.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedStream {
    /// SID of its call.
    pub call_sid: CallSid,
    /// Its own SID.
    pub stream_sid: StreamSid,
    /// The reason of its end.
    pub reason: EndReason,
}

/// Runs one Media Stream from its WebSocket handshake to its last published segment. Calls `on_end` at the
/// end of the audio, while the last utterances are being recognised; not for a socket that never sent
/// `start`.
///
/// Notifies `frames` of each message from Twilio, and drops it after the last one.
pub async fn run_media_stream(
    mut socket: WebSocket,
    media_deps: MediaDeps,
    binding: StreamBinding,
    permit: OwnedSemaphorePermit,
    frames: watch::Sender<()>,
    on_end: impl FnOnce(EndedStream) + Send,
) {
    let (result_sender, mut job_results) = mpsc::channel(limits::RESULTS_QUEUED_MAX);
    let mut task = MediaTask::new(clock::now(), media_deps.clone(), binding, result_sender);
    while task.ended.is_none() {
        if let Some(start) = task.pending_start.take() {
            // Nothing is read in the meantime; Twilio waits longer than the database may take.
            let context = load_stream_context(&media_deps.transcript_writer, &start).await;
            task.on_start(start, context);
        }
        tokio::select! {
            message = socket.recv(), if task.is_reading(clock::now()) => {
                if let Some(Ok(Message::Text(_))) = &message {
                    frames.send_replace(());
                }
                task.on_message(clock::now(), message);
            }
            Some(result) = job_results.recv() => task.on_job_result(clock::now(), result),
            () = clock::sleep_until(task.deadline()) => task.on_tick(clock::now()),
            () = media_deps.tasks.wait_for_stop() => task.handle_session_input(clock::now(), SessionInput::Stopping),
        }
    }
    drop(frames);
    if let Some(ended_stream) = task.ended_stream() {
        on_end(ended_stream);
    }
    media_deps.tasks.spawn(async move {
        // A peer that does not answer loses only its socket.
        let _ = tokio::time::timeout(CLOSE_WAIT_MAX, socket.send(Message::Close(None))).await;
        drop(permit);
    });
    while !task.is_finished() {
        tokio::select! {
            Some(result) = job_results.recv() => task.on_job_result(clock::now(), result),
            () = clock::sleep_until(task.deadline()) => task.on_tick(clock::now()),
        }
    }
}

/// Loads the state of a stream's call, and the index of the stream within it. A call continues without the
/// database: then the hub counts its streams.
async fn load_stream_context(
    transcript_writer: &TranscriptWriter,
    start: &StreamStart,
) -> StreamContext {
    let (call, stream) = (&start.call_sid, &start.stream_sid);
    let store = transcript_writer.store();
    let known = async {
        let is_known = transcript_writer.restore_call(call).await?;
        let record = store.call_record(call).await?;
        Ok::<_, StoreError>(record.filter(|_| is_known))
    };
    let record = known.await.unwrap_or_else(|error| {
        tracing::error!(?call, %error, "could not load a call's record");
        None
    });
    match store.open_stream(call, stream, clock::utc_now()).await {
        Ok(stream) => StreamContext {
            number: stream.number,
            offset_ms: Some(stream.start_offset_ms),
            record,
            is_deleted: false,
        },
        Err(error) => {
            tracing::error!(?call, %error, "could not store a call's stream");
            StreamContext {
                record,
                is_deleted: matches!(error, StoreError::NoSuchCall),
                ..StreamContext::default()
            }
        }
    }
}

/// The stored state of a stream's call.
#[derive(Debug, Default)]
struct StreamContext {
    number: u32,
    /// The start of the stream on the call's clock, by its date.
    offset_ms: Option<u64>,
    /// The call's record, if the call was announced before its stream arrived.
    record: Option<CallRecord>,
    /// Whether the call was deleted: then nothing of it is kept.
    is_deleted: bool,
}

/// A stream in progress and the state of its call.
struct MediaTask {
    media_deps: MediaDeps,
    session: StreamSession,
    /// The stream's `start`, until the record of its call has been loaded.
    pending_start: Option<StreamStart>,
    call: Option<StreamedCall>,
    /// Whether the call was announced: then a status callback reports its end.
    is_announced: bool,
    result_sender: ResultSender,
    reading_paused_until: Option<Instant>,
    session_deadline: Option<Instant>,
    health_at: Instant,
    health: EngineHealth,
    ended: Option<EndReason>,
}

/// The call of a stream, after `start`.
struct StreamedCall {
    sid: CallSid,
    stream_sid: StreamSid,
    stream: u32,
    /// Whether only the stream reports this call: it is one of the simulator, not of Twilio.
    is_unannounced: bool,
    direction: Direction,
    pipelines: BTreeMap<Track, (TrackIdentity, TrackPipeline)>,
    /// Detects segments that are an echo of the other party.
    echo_detector: EchoDetector,
    /// Detects another language; `None` if the engine detects the language itself.
    language_monitor: Option<LanguageMonitor>,
    archive: Option<ArchiveWriter>,
    /// The start of the stream on the call's clock.
    offset_ms: u64,
}

impl MediaTask {
    fn new(
        now: Instant,
        media_deps: MediaDeps,
        binding: StreamBinding,
        result_sender: ResultSender,
    ) -> Self {
        let mut task = Self {
            media_deps,
            is_announced: binding.call_sid.is_some(),
            session: StreamSession::new(now, binding),
            pending_start: None,
            call: None,
            result_sender,
            reading_paused_until: None,
            session_deadline: None,
            health_at: now + HEALTH_INTERVAL,
            health: EngineHealth::Ok,
            ended: None,
        };
        task.drain_session(now);
        task
    }

    fn is_reading(&self, now: Instant) -> bool {
        self.reading_paused_until.is_none_or(|at| at <= now)
    }

    /// Returns when to call `on_tick` at the latest.
    fn deadline(&self) -> Option<Instant> {
        let pipelines = self.call.iter().flat_map(|call| call.pipelines.values());
        pipelines
            .filter_map(|(_, pipeline)| pipeline.deadline())
            .chain(self.session_deadline)
            .chain(self.reading_paused_until)
            .chain([self.health_at])
            .min()
    }

    fn on_message(&mut self, now: Instant, message: Option<Result<Message, axum::Error>>) {
        match message {
            Some(Ok(Message::Text(text))) => {
                self.handle_session_input(now, SessionInput::Text(&text));
            }
            Some(Ok(Message::Binary(_))) => self.handle_session_input(now, SessionInput::Binary),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Err(error)) if is_protocol_violation(&error) => {
                self.handle_session_input(now, SessionInput::Unreadable);
            }
            Some(Ok(Message::Close(_)) | Err(_)) | None => {
                self.handle_session_input(now, SessionInput::Closed);
            }
        }
    }

    fn handle_session_input(&mut self, now: Instant, input: SessionInput<'_>) {
        self.session.handle(now, input);
        self.drain_session(now);
    }

    fn on_tick(&mut self, now: Instant) {
        self.reading_paused_until.take_if(|at| *at <= now);
        if self.ended.is_none() {
            self.handle_session_input(now, SessionInput::Tick);
        }
        let pipelines = self
            .call
            .iter_mut()
            .flat_map(|call| call.pipelines.values_mut());
        for (_, pipeline) in pipelines {
            pipeline.handle(now, TrackInput::Tick);
        }
        self.drain_pipelines();
        if self.health_at <= now {
            self.health_at = now + HEALTH_INTERVAL;
            let (health, lag) = self.media_deps.engine.health();
            self.publish_health(health, lag);
        }
    }

    fn on_job_result(&mut self, now: Instant, (track_id, result): TrackResult) {
        let pipelines = self
            .call
            .iter_mut()
            .flat_map(|call| call.pipelines.values_mut());
        if let Some((_, pipeline)) = pipelines
            .into_iter()
            .find(|(identity, _)| identity.track_id == track_id)
            .as_mut()
        {
            pipeline.handle(now, TrackInput::JobResult(result));
        }
        self.drain_pipelines();
    }

    fn drain_session(&mut self, now: Instant) {
        while let Some(output) = self.session.poll() {
            match output {
                SessionOutput::Started(start) => self.pending_start = Some(start),
                SessionOutput::Audio {
                    track,
                    timestamp_ms,
                    mulaw,
                } => {
                    self.on_audio(now, track, timestamp_ms, &mulaw);
                }
                SessionOutput::PauseReading(until) => self.reading_paused_until = Some(until),
                SessionOutput::Timeout(until) => self.session_deadline = Some(until),
                SessionOutput::Ended(reason) => self.on_end(now, reason),
            }
        }
    }

    fn on_start(&mut self, start: StreamStart, context: StreamContext) {
        let stream = self
            .media_deps
            .hub
            .open_stream(&start.call_sid, context.number);
        let offset_ms = context.offset_ms;
        let offset_ms =
            (self.media_deps.hub).resolve_stream_start(&start.call_sid, offset_ms, clock::now());
        self.media_deps.transcript_writer.attach(&start.call_sid);
        tracing::info!(
            call = ?start.call_sid, stream = ?start.stream_sid, number = stream,
            "media stream started"
        );
        let stated_direction = start.parameters.get("direction").map(String::as_str);
        let is_unannounced = !self.is_announced && context.record.is_none();
        let (direction, status) = match context.record {
            Some(record) => (record.direction, record.status),
            None if stated_direction == Some("incoming") => {
                (Direction::Incoming, CallStatus::InProgress)
            }
            None => (Direction::Outgoing, CallStatus::InProgress),
        };
        let stream_sid = start.stream_sid.clone();
        let offset = Duration::from_millis(offset_ms);
        let archives = self.media_deps.audio_archive.as_ref();
        let archives = archives.filter(|_| !context.is_deleted);
        let archive =
            archives.map(|audio_archive| audio_archive.open_writer(&start.call_sid, offset));
        if let Some(archive) = &archive {
            let transcript_writer = &self.media_deps.transcript_writer;
            transcript_writer.mark_audio_kept(&start.call_sid, archive.wait_for_data());
        }
        self.call = Some(StreamedCall {
            sid: start.call_sid,
            stream_sid: start.stream_sid,
            stream,
            is_unannounced,
            direction,
            pipelines: BTreeMap::new(),
            echo_detector: EchoDetector::default(),
            language_monitor: self
                .media_deps
                .track_config
                .language
                .clone()
                .map(LanguageMonitor::new),
            archive,
            offset_ms,
        });
        if let Some(call) = &self.call {
            self.media_deps
                .hub
                .publish_stream_started(&call.sid, stream_sid, status);
        }
    }

    fn on_audio(&mut self, now: Instant, track: Track, timestamp_ms: u64, mulaw: &[u8]) {
        let Some(call) = &mut self.call else { return };
        let (stream, speaker) = (call.stream, call.direction.speaker(track));
        let (_, pipeline) = call.pipelines.entry(track).or_insert_with(|| {
            let track_id = self.media_deps.engine.next_track_id();
            let identity = TrackIdentity {
                track_id,
                stream,
                track,
                speaker,
            };
            (
                identity,
                TrackPipeline::new(identity, self.media_deps.track_config.clone()),
            )
        });
        pipeline.handle(
            now,
            TrackInput::Audio {
                timestamp_ms,
                mulaw,
            },
        );
        let (at, samples) = pipeline.aligned_audio();
        call.echo_detector.push_audio(track, at, samples);
        if let Some(archive) = &call.archive {
            archive.push(track, at, samples);
        }
        let position_ms = pipeline.timeline().position() / LINE_SAMPLES_PER_MS;
        for (other, (_, pipeline)) in &mut call.pipelines {
            if *other != track {
                pipeline.handle(now, TrackInput::OtherTrack { position_ms });
            }
        }
        self.drain_pipelines();
    }

    fn drain_pipelines(&mut self) {
        let mut events = Vec::new();
        let metrics = &self.media_deps.metrics;
        let Some(call) = &mut self.call else { return };
        let offset_ms = call.offset_ms.cast_signed();
        for (_, pipeline) in call.pipelines.values_mut() {
            while let Some(output) = pipeline.poll() {
                match output {
                    TrackOutput::Job(job) => {
                        self.media_deps
                            .engine
                            .submit(job, self.result_sender.clone());
                    }
                    TrackOutput::Partial(mut partial) => {
                        partial.echo = call
                            .echo_detector
                            .may_be_echo(partial.track, partial.start_ms);
                        if partial.revision == 1 {
                            let position_ms = pipeline.timeline().position() / LINE_SAMPLES_PER_MS;
                            let after = position_ms.saturating_sub(partial.start_ms);
                            metrics.observe_first_partial(Duration::from_millis(after));
                        }
                        events.push(Event::Partial { partial });
                    }
                    TrackOutput::Segment(mut segment) => {
                        let (start_ms, end_ms) = (segment.start_ms, segment.end_ms);
                        segment.echo = call.echo_detector.is_echo(segment.track, start_ms, end_ms);
                        metrics.count_segment(&segment);
                        let doubts = call
                            .language_monitor
                            .as_mut()
                            .and_then(|monitor| monitor.push(&segment));
                        events.push(Event::Segment { segment });
                        events.extend(doubts.map(|doubts| Event::Language { doubts }));
                    }
                }
            }
        }
        for event in events {
            let lost = matches!(&event, Event::Segment { segment } if !segment.transcribed);
            self.publish(event.shifted_by(offset_ms));
            if lost {
                self.publish_health(EngineHealth::Degraded, self.media_deps.engine.health().1);
            }
        }
    }

    fn publish_health(&mut self, health: EngineHealth, lag: Duration) {
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

    fn on_end(&mut self, now: Instant, reason: EndReason) {
        if self.call.is_none() {
            tracing::info!(?reason, "media socket closed without a call");
        }
        self.ended = Some(reason);
        self.session_deadline = None;
        self.reading_paused_until = None;
        if reason == EndReason::ProtocolError
            && let Some((first, fault)) = self.session.first_fault().zip(self.session.last_fault())
        {
            tracing::warn!(first_fault = %first, %fault, "media stream refused");
        }
        let pipelines = self
            .call
            .iter_mut()
            .flat_map(|call| call.pipelines.values_mut());
        for (_, pipeline) in pipelines {
            pipeline.handle(now, TrackInput::Finish);
        }
        self.drain_pipelines();
    }

    fn ended_stream(&self) -> Option<EndedStream> {
        let call = self.call.as_ref()?;
        Some(EndedStream {
            call_sid: call.sid.clone(),
            stream_sid: call.stream_sid.clone(),
            reason: self.ended?,
        })
    }

    fn is_finished(&self) -> bool {
        let mut pipelines = self.call.iter().flat_map(|call| call.pipelines.values());
        pipelines.all(|(_, pipeline)| pipeline.is_settled())
    }

    /// Publishes the end of the transcript, once: at the end of the stream, or when the task is aborted.
    fn publish_end(&mut self) {
        let reason = self.ended.unwrap_or(EndReason::ShuttingDown);
        let counts = self.session.counts();
        let Some(call) = self.call.take() else {
            return;
        };
        tracing::info!(
            call = ?call.sid, ?reason, media = counts.media, duplicates = counts.duplicates,
            missing = counts.missing, faults = counts.faults, "media stream ended"
        );
        let metrics = &self.media_deps.metrics;
        metrics.count_stream_end(reason);
        metrics.count_media_lost("missing", counts.missing);
        metrics.count_media_lost("duplicate", counts.duplicates);
        metrics.count_media_lost("malformed", counts.faults.into());
        let is_over = call.is_unannounced && reason == EndReason::Stopped;
        let completed = is_over.then_some(Event::Call {
            status: CallStatus::Completed,
            stream_sid: None,
        });
        let final_events = completed.into_iter().chain([Event::Ended { reason }]);
        self.media_deps.hub.close_stream(&call.sid, final_events);
    }

    fn publish(&self, event: Event) {
        if let Some(call) = &self.call {
            self.media_deps.hub.publish(&call.sid, event);
        }
    }
}

impl Drop for MediaTask {
    fn drop(&mut self) {
        self.publish_end();
    }
}

/// Whether the peer violated the WebSocket protocol, rather than only disconnected.
fn is_protocol_violation(error: &axum::Error) -> bool {
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
mod tests;
