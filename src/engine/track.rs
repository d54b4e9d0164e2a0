//! The pipeline of one track of a call: μ-law frames in, partials and finals out. Pure: no I/O; takes `now`;
//! emits recognition jobs as output and takes their results as input.
//!
//! ```text
//!  Audio ─► mulaw ─► timeline ─► resample ─► vad ─► segmenter ─► events
//!                                                                   │
//!            ┌── RecognitionJob ◄── utterance: partial passes in ───┘
//!            ▼                      speech, a final pass from a pause on
//!   scheduler, workers
//!            └── JobResult ──► stabilizer ──► Partial, …, Segment
//! ```
//!
//! After each [`TrackPipeline::handle`], drain [`TrackPipeline::poll`]; then sleep until
//! [`TrackPipeline::deadline`] at the latest.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use crate::audio::LINE_SAMPLES_PER_MS;
use crate::audio::mulaw;
use crate::audio::resample::Upsampler;
use crate::audio::timeline::ChunkPlacement;
use crate::audio::timeline::Timeline;
use crate::engine::recognizer::Hypothesis;
use crate::engine::recognizer::RecognizeError;
use crate::engine::recognizer::RecognizedWord;
use crate::engine::recognizer::join_words;
use crate::engine::scheduler::JobPriority;
use crate::engine::scheduler::RecognitionJob;
use crate::engine::scheduler::TrackId;
use crate::engine::segmenter::AudioClip;
use crate::engine::segmenter::Segmenter;
use crate::engine::segmenter::SegmenterConfig;
use crate::engine::segmenter::SegmenterEvent;
use crate::engine::segmenter::samples_to_ms;
use crate::engine::stabilizer::Stabilizer;
use crate::engine::vad::FRAME_SAMPLES;
use crate::engine::vad::Vad;
use crate::ids::SegmentId;
use crate::ids::Track;
use crate::transcript::Partial;
use crate::transcript::Segment;
use crate::transcript::Speaker;
use crate::transcript::Word;

/// Settings that decide when a track requests recognition.
#[derive(Debug, Clone)]
pub struct TrackConfig {
    /// Start and end of utterances.
    pub segmenter: SegmenterConfig,
    /// Speech before the first partial pass. Shorter shows text earlier, and wrong text more often.
    pub first_partial_ms: u64,
    /// New audio before the next partial pass. Shorter follows the speaker closer and costs more passes.
    pub partial_step_ms: u64,
    /// Time without a frame after which the audio so far gets a partial pass. The utterance stays open:
    /// frames that arrive late belong to it.
    pub stall: Duration,
    /// Time without a frame after which an open utterance ends. Longer than the time that TCP takes to
    /// retransmit a segment that was lost five times (6.2 s, RFC 6298), so that the burst of frames that
    /// follows continues where the earlier frames stopped.
    pub stall_endpoint: Duration,
    /// Audio of the other track that passes without a frame of this one, after which an open utterance ends:
    /// the call's clock advances and this track is silent. Shorter gives earlier finals on a track that skips
    /// silent frames, and splits utterances where Twilio's frames arrive in bunches of one track each.
    pub absent_ms: u64,
    /// ISO 639-1 code of the spoken language; `None`: the language of the first final is used from then on.
    pub language: Option<String>,
}

impl Default for TrackConfig {
    fn default() -> Self {
        Self {
            segmenter: SegmenterConfig::default(),
            first_partial_ms: 416,
            partial_step_ms: 640,
            stall: Duration::from_millis(700),
            stall_endpoint: Duration::from_secs(10),
            absent_ms: 2_000,
            language: Some("en".to_owned()),
        }
    }
}

/// The cost of a partial pass is about proportional to the length of the speech that it covers, so the step
/// between partial passes grows with the utterance: at least a fifth of its length.
const PARTIAL_STEP_SHARE: u64 = 5;

/// Within this distance of the start and the end of speech, the voice activity detector's times replace
/// Whisper's for the start of the first word and the end of the last one: Whisper's times are those of
/// subtitles.
const EDGE_SNAP_MS: u64 = 500;

/// The track's place in its call and in the engine.
#[derive(Debug, Clone, Copy)]
pub struct TrackIdentity {
    /// Identifier within the engine.
    pub track_id: TrackId,
    /// The stream's index within the call, from 1.
    pub stream: u32,
    /// Inbound or outbound.
    pub track: Track,
    /// The party on this track.
    pub speaker: Speaker,
}

/// An input to [`TrackPipeline::handle`].
#[derive(Debug)]
pub enum TrackInput<'a> {
    /// μ-law audio at 8 kHz, with its place in milliseconds from the start of the stream.
    Audio {
        /// The `timestamp` of Twilio's `media` message.
        timestamp_ms: u64,
        /// G.711 bytes; any number.
        mulaw: &'a [u8],
    },
    /// Position of the call's other track: evidence that time passes without a frame of this track.
    OtherTrack {
        /// Position of its next sample, in milliseconds from the start of the stream.
        position_ms: u64,
    },
    /// The end of a job.
    JobResult(JobResult),
    /// [`TrackPipeline::deadline`] has passed.
    Tick,
    /// The end of the audio.
    Finish,
}

/// The result of a [`RecognitionJob`].
#[derive(Debug)]
pub struct JobResult {
    /// [`RecognitionJob::utterance`] of the job.
    pub utterance: u32,
    /// [`RecognitionJob::pass`] of the job.
    pub pass: u32,
    /// The hypothesis, or the reason that there is none.
    pub outcome: JobOutcome,
}

/// How a job ended.
#[derive(Debug)]
pub enum JobOutcome {
    /// It ran and succeeded.
    Recognized(Hypothesis),
    /// It ran and failed.
    Failed(RecognizeError),
    /// It never ran: replaced, too old, or cancelled.
    Dropped,
    /// It was refused: too many finals are waiting.
    Refused,
}

/// An output of [`TrackPipeline::poll`].
#[derive(Debug)]
pub enum TrackOutput {
    /// Audio to recognise.
    Job(RecognitionJob),
    /// A partial to show.
    Partial(Partial),
    /// A final to keep.
    Segment(Segment),
}

/// The pipeline of one track, from μ-law bytes to partials and segments.
#[derive(Debug)]
pub struct TrackPipeline {
    identity: TrackIdentity,
    config: TrackConfig,
    timeline: Timeline,
    /// The latest frame as the timeline placed it.
    aligned: Vec<i16>,
    upsampler: Upsampler,
    vad: Vad,
    /// `None` until the first frame gives the start of the track.
    segmenter: Option<Segmenter>,
    /// 16 kHz samples that do not fill a frame.
    pending: Vec<f32>,
    utterances: BTreeMap<u32, PendingUtterance>,
    /// The number of the latest utterance; of the open one during speech.
    latest_utterance: u32,
    language: Option<String>,
    last_frame_at: Option<Instant>,
    /// Whether no frame has arrived for [`TrackConfig::stall`].
    is_stalled: bool,
    /// Position of the other track, in milliseconds from the start of the stream.
    other_track_ms: u64,
    /// `other_track_ms` when the latest frame of this track arrived.
    other_track_ms_at_frame: u64,
    finished: bool,
    outputs: VecDeque<TrackOutput>,
}

/// An utterance without a final.
#[derive(Debug)]
struct PendingUtterance {
    stabilizer: Stabilizer,
    revision: u32,
    passes: u32,
    /// For each pass without a result: the end of speech in its clip, in milliseconds.
    pending_passes: BTreeMap<u32, u32>,
    /// The latest pass that was shown in a partial.
    shown_pass: u32,
    /// The partial pass in progress and its cancellation flag.
    partial_pass: Option<(u32, Arc<AtomicBool>)>,
    /// Audio covered by the last partial pass, in samples.
    partial_samples: u64,
    final_pass: Option<FinalPass>,
    /// The audio of the whole utterance, once it is closed.
    closed_clip: Option<AudioClip>,
    speech_start: u64,
    /// End of the speech so far, in 16 kHz samples; `speech_ended_at` is the time when that sample arrived.
    speech_end: u64,
    speech_ended_at: Instant,
}

/// A final pass over an utterance, started at a pause or at its end.
#[derive(Debug)]
struct FinalPass {
    pass: u32,
    cancelled: Arc<AtomicBool>,
    outcome: Option<JobOutcome>,
}

impl TrackPipeline {
    /// Creates the pipeline of a track without audio.
    pub fn new(identity: TrackIdentity, config: TrackConfig) -> Self {
        Self {
            identity,
            language: config.language.clone(),
            config,
            timeline: Timeline::new(),
            aligned: Vec::new(),
            upsampler: Upsampler::new(),
            vad: Vad::default(),
            segmenter: None,
            pending: Vec::with_capacity(2 * FRAME_SAMPLES),
            utterances: BTreeMap::new(),
            latest_utterance: 0,
            last_frame_at: None,
            is_stalled: false,
            other_track_ms: 0,
            other_track_ms_at_frame: 0,
            finished: false,
            outputs: VecDeque::new(),
        }
    }

    /// Handles one input; drain [`TrackPipeline::poll`] afterwards.
    pub fn handle(&mut self, now: Instant, input: TrackInput<'_>) {
        match input {
            TrackInput::Audio {
                timestamp_ms,
                mulaw,
            } => {
                if !self.finished {
                    self.push_audio(now, timestamp_ms, mulaw);
                }
            }
            TrackInput::OtherTrack { position_ms } => {
                self.other_track_ms = self.other_track_ms.max(position_ms);
                if self.is_speaking() && self.absent_ms() >= self.config.absent_ms {
                    self.close(now);
                }
            }
            TrackInput::JobResult(result) => self.on_job_result(now, result),
            TrackInput::Tick => self.on_tick(now),
            TrackInput::Finish => self.finish(now),
        }
    }

    /// Returns the next output, or `None` when there are no more.
    pub fn poll(&mut self) -> Option<TrackOutput> {
        self.outputs.pop_front()
    }

    /// Returns when to send [`TrackInput::Tick`] unless another input arrives before; `None` outside an
    /// utterance.
    pub fn deadline(&self) -> Option<Instant> {
        let wait = if self.is_stalled {
            self.config.stall_endpoint
        } else {
            self.config.stall
        };
        self.last_frame_at
            .filter(|_| self.is_speaking())
            .map(|at| at + wait)
    }

    /// Whether all speech so far has been published.
    pub fn is_settled(&self) -> bool {
        self.utterances.is_empty() && !self.is_speaking()
    }

    /// Returns the timeline, which counts the frames by their placement.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// Returns the latest frame as placed on the call's clock: the position of its first sample, in 8 kHz
    /// samples, and the samples; no samples for a frame that arrived too late.
    pub fn aligned_audio(&self) -> (u64, &[i16]) {
        let start = self.timeline.position() - self.aligned.len() as u64;
        (start, &self.aligned)
    }

    fn is_speaking(&self) -> bool {
        self.segmenter.as_ref().is_some_and(|s| s.length() > 0)
    }

    /// Returns how far the other track has advanced since the latest frame of this one, in milliseconds.
    /// Where it only caught up with this one, or was always ahead of it, that is no evidence and does not
    /// count.
    fn absent_ms(&self) -> u64 {
        let own_ms = self.timeline.position() / LINE_SAMPLES_PER_MS;
        self.other_track_ms
            .saturating_sub(self.other_track_ms_at_frame.max(own_ms))
    }

    /// Returns the time since the latest frame, by this machine's clock or by the other track's timestamps;
    /// the longer of the two.
    fn elapsed_ms(&self, now: Instant) -> u64 {
        let waited = self
            .last_frame_at
            .map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.absent_ms().max(waited.as_millis() as u64)
    }

    fn on_tick(&mut self, now: Instant) {
        if self.deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        if self.is_stalled {
            self.close(now);
        } else {
            self.is_stalled = true;
            self.request_partial_if_due();
        }
    }

    fn push_audio(&mut self, now: Instant, timestamp_ms: u64, mulaw: &[u8]) {
        self.timeline.set_elapsed(self.elapsed_ms(now));
        self.last_frame_at = Some(now);
        self.is_stalled = false;
        self.other_track_ms_at_frame = self.other_track_ms;
        let samples: Vec<i16> = mulaw.iter().map(|&byte| mulaw::decode(byte)).collect();
        self.aligned.clear();
        match self
            .timeline
            .push(timestamp_ms, &samples, &mut self.aligned)
        {
            ChunkPlacement::Next | ChunkPlacement::AfterGap { .. } => {}
            ChunkPlacement::Late => return,
            ChunkPlacement::Jumped { to_sample } => self.jump_to(now, to_sample * 2),
        }
        if self.segmenter.is_none() {
            let start = self.aligned_audio().0 * 2;
            self.segmenter = Some(Segmenter::new(self.config.segmenter.clone(), start));
        }
        self.upsampler.push(&self.aligned, &mut self.pending);
        self.detect_speech(now);
        self.request_partial_if_due();
    }

    fn detect_speech(&mut self, now: Instant) {
        let Some(mut segmenter) = self.segmenter.take() else {
            return;
        };
        let mut taken = 0;
        while let Some(frame) = self.pending[taken..].first_chunk::<FRAME_SAMPLES>() {
            taken += FRAME_SAMPLES;
            let decision = self.vad.push_frame(frame);
            for event in segmenter.push(frame, decision) {
                self.apply_event(now, event, &segmenter);
            }
            if let (Some(utterance), Some(end)) = (
                self.utterances.get_mut(&self.latest_utterance),
                segmenter.speech_end(),
            ) && end > utterance.speech_end
            {
                utterance.speech_end = end;
                utterance.speech_ended_at = now;
            }
        }
        self.pending.drain(..taken);
        self.segmenter = Some(segmenter);
    }

    fn apply_event(&mut self, now: Instant, event: SegmenterEvent, segmenter: &Segmenter) {
        match event {
            SegmenterEvent::Opened => self.open_utterance(now),
            SegmenterEvent::Paused(clip) => self.request_final(now, self.latest_utterance, clip),
            SegmenterEvent::Resumed => {
                if let Some(final_pass) = self
                    .current_utterance()
                    .and_then(|utterance| utterance.final_pass.take())
                {
                    final_pass.cancelled.store(true, Ordering::Relaxed);
                }
            }
            SegmenterEvent::Closed(clip) => {
                let number = self.latest_utterance;
                if segmenter.length() > 0 {
                    // The hard cap cut it: the rest is already an utterance of its own.
                    self.open_utterance(now);
                }
                self.on_utterance_closed(now, number, clip);
            }
            SegmenterEvent::Discarded => {
                self.utterances.remove(&self.latest_utterance);
            }
        }
    }

    fn open_utterance(&mut self, now: Instant) {
        self.latest_utterance += 1;
        self.utterances.insert(
            self.latest_utterance,
            PendingUtterance {
                stabilizer: Stabilizer::default(),
                revision: 0,
                passes: 0,
                pending_passes: BTreeMap::new(),
                shown_pass: 0,
                partial_pass: None,
                partial_samples: 0,
                final_pass: None,
                closed_clip: None,
                speech_start: 0,
                speech_end: 0,
                speech_ended_at: now,
            },
        );
    }

    fn current_utterance(&mut self) -> Option<&mut PendingUtterance> {
        self.utterances.get_mut(&self.latest_utterance)
    }

    fn request_partial_if_due(&mut self) {
        let Some(segmenter) = &self.segmenter else {
            return;
        };
        let length = segmenter.length();
        let Some(utterance) = self.utterances.get(&self.latest_utterance) else {
            return;
        };
        if utterance.closed_clip.is_some()
            || utterance.partial_pass.is_some()
            || utterance.final_pass.is_some()
        {
            return;
        }
        let due_ms = if utterance.partial_samples == 0 {
            self.config.segmenter.pre_roll_ms + self.config.first_partial_ms
        } else {
            self.config
                .partial_step_ms
                .max(samples_to_ms(length) / PARTIAL_STEP_SHARE)
        };
        // The track has stalled: any new audio gets a pass, however short it is.
        let due_ms = if self.is_stalled { 1 } else { due_ms };
        if samples_to_ms(length - utterance.partial_samples) < due_ms {
            return;
        }
        let Some(clip) = segmenter.open_clip() else {
            return;
        };
        let first = utterance.revision == 0;
        let priority = if first {
            JobPriority::FirstPartial
        } else {
            JobPriority::Partial
        };
        self.submit_job(self.latest_utterance, clip, priority);
    }

    /// Starts the final pass over an utterance that has paused or ended.
    fn request_final(&mut self, now: Instant, number: u32, clip: AudioClip) {
        let Some(utterance) = self.utterances.get_mut(&number) else {
            return;
        };
        if let Some((_, cancelled)) = utterance.partial_pass.take() {
            cancelled.store(true, Ordering::Relaxed);
        }
        if clip.speech.end > utterance.speech_end {
            utterance.speech_end = clip.speech.end;
            utterance.speech_ended_at = now;
        }
        self.submit_job(number, clip, JobPriority::Final);
    }

    fn submit_job(&mut self, number: u32, clip: AudioClip, priority: JobPriority) {
        let Some(utterance) = self.utterances.get_mut(&number) else {
            return;
        };
        utterance.passes += 1;
        utterance
            .pending_passes
            .insert(utterance.passes, clip.speech_end_ms());
        utterance.speech_start = clip.speech.start;
        let cancelled = Arc::new(AtomicBool::new(false));
        if priority == JobPriority::Final {
            utterance.final_pass = Some(FinalPass {
                pass: utterance.passes,
                cancelled: cancelled.clone(),
                outcome: None,
            });
        } else {
            utterance.partial_samples = clip.samples.len() as u64;
            utterance.partial_pass = Some((utterance.passes, cancelled.clone()));
        }
        self.outputs.push_back(TrackOutput::Job(RecognitionJob {
            track_id: self.identity.track_id,
            utterance: number,
            pass: utterance.passes,
            priority,
            clip,
            language: self.language.clone(),
            speech_ended_at: utterance.speech_ended_at,
            cancelled,
        }));
    }

    /// Handles the end of an utterance: its final pass is done, runs, or starts now.
    fn on_utterance_closed(&mut self, now: Instant, number: u32, clip: AudioClip) {
        let Some(utterance) = self.utterances.get_mut(&number) else {
            return;
        };
        utterance.closed_clip = Some(clip.clone());
        match &mut utterance.final_pass {
            None => self.request_final(now, number, clip),
            Some(FinalPass {
                outcome: stored, ..
            }) => {
                if let Some(outcome) = stored.take() {
                    self.publish_segment(now, number, outcome);
                }
            }
        }
    }

    fn on_job_result(&mut self, now: Instant, result: JobResult) {
        let Some(utterance) = self.utterances.get_mut(&result.utterance) else {
            return;
        };
        let Some(speech_end_ms) = utterance.pending_passes.remove(&result.pass) else {
            return;
        };
        let words = match &result.outcome {
            JobOutcome::Recognized(hypothesis) => Some(hypothesis.words.clone()),
            JobOutcome::Failed(_) | JobOutcome::Dropped | JobOutcome::Refused => None,
        };
        let mut is_partial = false;
        match &mut utterance.final_pass {
            Some(final_pass) if final_pass.pass == result.pass => {
                if utterance.closed_clip.is_some() {
                    self.publish_segment(now, result.utterance, result.outcome);
                    return;
                }
                final_pass.outcome = Some(result.outcome);
            }
            _ => {
                is_partial = true;
                utterance
                    .partial_pass
                    .take_if(|(pass, _)| *pass == result.pass);
            }
        }
        // Results arrive out of order: older words must not replace newer ones.
        if let Some(words) = words
            && result.pass > utterance.shown_pass
        {
            utterance.shown_pass = result.pass;
            let words = if is_partial {
                utterance.stabilizer.confident_prefix(words, speech_end_ms)
            } else {
                words
            };
            self.publish_partial(result.utterance, words, speech_end_ms);
        }
        if self.is_stalled {
            self.request_partial_if_due();
        }
    }

    /// Publishes a partial of the words that were recognised in the first `speech_end_ms` of the utterance.
    fn publish_partial(&mut self, number: u32, words: Vec<RecognizedWord>, speech_end_ms: u32) {
        let Some(utterance) = self.utterances.get_mut(&number) else {
            return;
        };
        let Some((stable, unstable)) = utterance.stabilizer.push(words, speech_end_ms) else {
            return;
        };
        utterance.revision += 1;
        self.outputs.push_back(TrackOutput::Partial(Partial {
            segment_id: SegmentId::new(self.identity.stream, self.identity.track, number),
            revision: utterance.revision,
            track: self.identity.track,
            speaker: self.identity.speaker,
            start_ms: samples_to_ms(utterance.speech_start),
            stable,
            unstable,
            echo: false,
        }));
    }

    fn publish_segment(&mut self, now: Instant, number: u32, outcome: JobOutcome) {
        let Some(utterance) = self.utterances.remove(&number) else {
            return;
        };
        let Some(clip) = utterance.closed_clip else {
            return;
        };
        let hypothesis = match outcome {
            JobOutcome::Recognized(hypothesis) => Some(hypothesis),
            JobOutcome::Failed(_) | JobOutcome::Dropped | JobOutcome::Refused => None,
        };
        let transcribed = hypothesis.is_some();
        let recognized = match &hypothesis {
            Some(hypothesis) => utterance.stabilizer.finish(&hypothesis.words),
            None => utterance.stabilizer.finish_as_shown(),
        };
        let hypothesis = hypothesis.unwrap_or_default();
        if self.language.is_none() && !hypothesis.words.is_empty() {
            self.language = Some(hypothesis.language.clone());
        }
        if recognized.is_empty() && transcribed && utterance.revision == 0 {
            return; // No words, and no partial showed any.
        }
        let language = self.language.clone().unwrap_or(hypothesis.language);
        let words = place_words(recognized, &clip);
        self.outputs.push_back(TrackOutput::Segment(Segment {
            id: SegmentId::new(self.identity.stream, self.identity.track, number),
            track: self.identity.track,
            speaker: self.identity.speaker,
            start_ms: samples_to_ms(clip.speech.start),
            end_ms: samples_to_ms(clip.speech.end),
            text: join_words(words.iter().map(|word| word.text.as_str())),
            words,
            language,
            latency_ms: now
                .saturating_duration_since(utterance.speech_ended_at)
                .as_millis() as u64,
            transcribed,
            echo: false,
        }));
    }

    fn jump_to(&mut self, now: Instant, to: u64) {
        self.upsampler.reset();
        self.pending.clear();
        // The detector keeps its state: the same voice speaks before and after the jump, and a detector that
        // starts in the middle of a word is too unsure to take the rest of it for speech.
        if let Some(mut segmenter) = self.segmenter.take() {
            let event = segmenter.jump(to);
            self.apply_event_and_restore(now, event, segmenter);
        }
    }

    fn close(&mut self, now: Instant) {
        if let Some(mut segmenter) = self.segmenter.take() {
            let event = segmenter.close();
            self.apply_event_and_restore(now, event, segmenter);
        }
    }

    fn apply_event_and_restore(
        &mut self,
        now: Instant,
        event: Option<SegmenterEvent>,
        segmenter: Segmenter,
    ) {
        if let Some(event) = event {
            self.apply_event(now, event, &segmenter);
        }
        self.segmenter = Some(segmenter);
    }

    fn finish(&mut self, now: Instant) {
        if self.finished {
            return;
        }
        self.finished = true;
        self.upsampler.flush(&mut self.pending);
        let whole = self.pending.len().next_multiple_of(FRAME_SAMPLES);
        self.pending.resize(whole, 0.0);
        self.detect_speech(now);
        self.close(now);
    }
}

/// Places words on the call's clock, in milliseconds: never before or after the clip's speech, never
/// backwards. The first and the last word take the edges of the speech if they are within [`EDGE_SNAP_MS`] of
/// them.
fn place_words(recognized: Vec<RecognizedWord>, clip: &AudioClip) -> Vec<Word> {
    let (start, end) = (
        samples_to_ms(clip.speech.start),
        samples_to_ms(clip.speech.end),
    );
    let mut earliest = start;
    let mut words: Vec<Word> = recognized
        .into_iter()
        .map(|word| {
            let from = (samples_to_ms(clip.start) + u64::from(word.start_ms))
                .clamp(earliest, end.max(earliest));
            let to =
                (samples_to_ms(clip.start) + u64::from(word.end_ms)).clamp(from, end.max(from));
            earliest = from;
            Word {
                text: word.text,
                start_ms: from,
                end_ms: to,
                confidence: word.confidence,
            }
        })
        .collect();
    if let Some(first) = words.first_mut()
        && first.start_ms - start <= EDGE_SNAP_MS
    {
        first.start_ms = start;
    }
    if let Some(last) = words.last_mut()
        && end.saturating_sub(last.end_ms) <= EDGE_SNAP_MS
    {
        last.end_ms = end.max(last.end_ms);
    }
    words
}

#[cfg(test)]
mod tests;
