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
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::audio::LINE_HZ;
    use crate::audio::recording::RecordingReader;
    use crate::clock;
    use crate::engine::segmenter::ms_to_samples;
    use crate::engine::stabilizer::UNSTABLE_TAIL_MS;

    const SILENCE: u8 = 0xff;
    const FRAME_BYTES: usize = 160;
    const FIRST_STAMP_MS: u64 = 100;

    /// A sentence from the fixtures, as μ-law.
    fn sentence(name: &str) -> Vec<u8> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/prompts");
        let channels = RecordingReader::read_all(&path.join(name), LINE_HZ).unwrap();
        let encode = |&sample: &f32| mulaw::encode((sample * 32_767.0) as i16);
        channels[0].iter().map(encode).collect()
    }

    fn hypothesis(text: &str, over_ms: u32) -> Hypothesis {
        let texts: Vec<&str> = text.split_whitespace().collect();
        let step_ms = over_ms / (texts.len() as u32).max(1);
        let words = texts.iter().zip(0u32..).map(|(text, n)| RecognizedWord {
            text: (*text).to_owned(),
            start_ms: n * step_ms,
            end_ms: (n + 1) * step_ms,
            confidence: 1.0,
        });
        Hypothesis {
            words: words.collect(),
            language: "en".to_owned(),
            mean_logprob: 0.0,
        }
    }

    /// One word for each 200 ms of speech, each named after its index: longer clips continue where shorter
    /// ones end.
    fn count(job: &RecognitionJob) -> JobOutcome {
        let n = job.clip.speech_end_ms() / 200;
        let words: Vec<String> = (1..=n).map(|n| format!("w{n}")).collect();
        JobOutcome::Recognized(hypothesis(&words.join(" "), n * 200))
    }

    /// A track, its time and its outputs; fails when the track breaks an invariant.
    struct TrackTest {
        pipeline: TrackPipeline,
        begin: Instant,
        now: Instant,
        sent: u64,
        jobs: Vec<RecognitionJob>,
        partials: Vec<Partial>,
        segments: Vec<Segment>,
    }

    impl TrackTest {
        fn new() -> Self {
            let now = clock::now();
            let identity = TrackIdentity {
                track_id: TrackId(7),
                stream: 3,
                track: Track::Outbound,
                speaker: Speaker::Customer,
            };
            Self {
                pipeline: TrackPipeline::new(identity, TrackConfig::default()),
                begin: now,
                now,
                sent: 0,
                jobs: Vec::new(),
                partials: Vec::new(),
                segments: Vec::new(),
            }
        }

        fn input(&mut self, input: TrackInput<'_>) {
            self.pipeline.handle(self.now, input);
            while let Some(output) = self.pipeline.poll() {
                match output {
                    TrackOutput::Job(job) => self.jobs.push(job),
                    TrackOutput::Partial(partial) => self.check_partial(partial),
                    TrackOutput::Segment(segment) => self.check_segment(segment),
                }
            }
        }

        fn check_partial(&mut self, partial: Partial) {
            let id = &partial.segment_id;
            assert!(
                self.segments.iter().all(|segment| segment.id != *id),
                "a partial after its final: {partial:?}"
            );
            if let Some(old) = self.partials.iter().rfind(|old| old.segment_id == *id) {
                assert_eq!(partial.revision, old.revision + 1);
                assert!(
                    partial.stable.starts_with(&old.stable),
                    "{partial:?} takes back {old:?}"
                );
            } else {
                assert_eq!(partial.revision, 1);
            }
            self.partials.push(partial);
        }

        fn check_segment(&mut self, segment: Segment) {
            assert!(
                self.segments.iter().all(|old| old.id != segment.id),
                "two finals of {:?}",
                segment.id
            );
            assert!(segment.start_ms < segment.end_ms, "{segment:?}");
            let places = segment.words.iter().flat_map(|w| [w.start_ms, w.end_ms]);
            let bounds = segment.start_ms..=segment.end_ms;
            assert!(places.into_iter().all(|ms| bounds.contains(&ms)));
            if let Some(last) = self.partials.iter().rfind(|p| p.segment_id == segment.id) {
                assert!(
                    segment.text.starts_with(&last.stable),
                    "{segment:?} takes back {last:?}"
                );
            }
            self.segments.push(segment);
        }

        /// Sends a piece of the track's audio directly after the last one.
        fn chunk(&mut self, mulaw: &[u8]) {
            let sent = self.sent + mulaw.len() as u64;
            self.chunk_at(self.begin + Duration::from_micros(sent * 125), mulaw);
        }

        /// The same, with another arrival time.
        fn chunk_at(&mut self, now: Instant, mulaw: &[u8]) {
            let timestamp_ms = FIRST_STAMP_MS + self.sent / 8;
            self.sent += mulaw.len() as u64;
            self.now = now;
            self.input(TrackInput::Audio {
                timestamp_ms,
                mulaw,
            });
        }

        /// Sends 20 ms frames until one of them causes a final pass; returns the index after it.
        fn until_final(&mut self, mulaw: &[u8]) -> usize {
            for (n, frame) in mulaw.chunks(FRAME_BYTES).enumerate() {
                self.chunk(frame);
                if self
                    .jobs
                    .last()
                    .is_some_and(|job| job.priority == JobPriority::Final)
                {
                    return (n + 1) * FRAME_BYTES;
                }
            }
            panic!("no final pass was asked for");
        }

        /// Sends 20 ms frames; `recognize` completes each job at once, or leaves it in `jobs`.
        fn play(
            &mut self,
            mulaw: &[u8],
            mut recognize: impl FnMut(&RecognitionJob) -> Option<JobOutcome>,
        ) {
            for frame in mulaw.chunks(FRAME_BYTES) {
                self.chunk(frame);
                self.complete_jobs(&mut recognize);
            }
        }

        fn play_silence(
            &mut self,
            ms: usize,
            recognize: impl FnMut(&RecognitionJob) -> Option<JobOutcome>,
        ) {
            self.play(&vec![SILENCE; ms * 8], recognize);
        }

        fn complete_jobs(
            &mut self,
            recognize: &mut impl FnMut(&RecognitionJob) -> Option<JobOutcome>,
        ) {
            let mut left = Vec::new();
            for job in std::mem::take(&mut self.jobs) {
                match recognize(&job) {
                    Some(outcome) => self.complete_job(&job, outcome),
                    None => left.push(job),
                }
            }
            left.append(&mut self.jobs);
            self.jobs = left;
        }

        fn complete_job(&mut self, job: &RecognitionJob, outcome: JobOutcome) {
            assert_eq!(job.track_id, TrackId(7));
            self.input(TrackInput::JobResult(JobResult {
                utterance: job.utterance,
                pass: job.pass,
                outcome,
            }));
        }

        /// Advances the time without a frame, from deadline to deadline.
        fn wait(&mut self, time: Duration) {
            let until = self.now + time;
            while let Some(at) = self.pipeline.deadline().filter(|at| *at <= until) {
                self.now = self.now.max(at);
                self.input(TrackInput::Tick);
                let next = self.pipeline.deadline();
                assert!(next.is_none_or(|next| next > self.now), "a deadline stays");
            }
            self.now = until;
        }

        fn finish(&mut self, mut recognize: impl FnMut(&RecognitionJob) -> Option<JobOutcome>) {
            self.input(TrackInput::Finish);
            self.complete_jobs(&mut recognize);
        }

        fn texts(&self) -> Vec<&str> {
            self.segments.iter().map(|s| s.text.as_str()).collect()
        }
    }

    #[expect(
        clippy::unnecessary_wraps,
        reason = "the others may leave a job unanswered"
    )]
    fn all(job: &RecognitionJob) -> Option<JobOutcome> {
        Some(count(job))
    }

    fn none(_: &RecognitionJob) -> Option<JobOutcome> {
        None
    }

    fn recognized(text: &str) -> JobOutcome {
        JobOutcome::Recognized(hypothesis(text, 1_000))
    }

    fn wanted(job: &RecognitionJob) -> bool {
        !job.cancelled.load(Ordering::Relaxed)
    }

    #[test]
    fn an_utterance_has_partials_while_it_is_spoken_and_a_final_after_it() {
        let mut track_test = TrackTest::new();
        let mut requested = Vec::new();
        let mut recognize = |job: &RecognitionJob| {
            requested.push((
                job.priority,
                job.pass,
                job.clip.clone(),
                job.language.clone(),
            ));
            Some(count(job))
        };
        track_test.play(&sentence("weasels.wav"), &mut recognize);
        track_test.play_silence(1_000, &mut recognize);

        let priorities: Vec<JobPriority> =
            requested.iter().map(|(priority, ..)| *priority).collect();
        assert_eq!(priorities.first(), Some(&JobPriority::FirstPartial));
        assert_eq!(priorities.last(), Some(&JobPriority::Final));
        assert!(priorities.contains(&JobPriority::Partial));
        assert!(
            requested
                .iter()
                .map(|(_, pass, ..)| *pass)
                .eq(1..=requested.len() as u32)
        );
        for pair in requested.windows(2) {
            assert_eq!(pair[0].2.start, pair[1].2.start);
            let (a, b) = (&pair[0].2.samples, &pair[1].2.samples);
            assert_eq!(a[..a.len().min(b.len())], b[..a.len().min(b.len())]);
        }
        assert!(
            requested
                .iter()
                .all(|(.., language)| language.as_deref() == Some("en"))
        );

        let [segment] = &track_test.segments[..] else {
            panic!("{:?}", track_test.texts())
        };
        assert_eq!(segment.id, SegmentId::new(3, Track::Outbound, 1));
        assert_eq!(
            (segment.track, segment.speaker),
            (Track::Outbound, Speaker::Customer)
        );
        assert!(segment.transcribed && segment.text.starts_with("w1 w2 w3"));
        assert!(
            (FIRST_STAMP_MS..700).contains(&segment.start_ms)
                && (2_500..3_200).contains(&segment.end_ms),
            "{} to {}",
            segment.start_ms,
            segment.end_ms
        );
        assert!(
            (480..600).contains(&segment.latency_ms),
            "{} ms",
            segment.latency_ms
        );
        assert!(track_test.partials.len() > 2 && track_test.pipeline.is_settled());
        assert!(
            track_test
                .partials
                .iter()
                .any(|partial| !partial.stable.is_empty())
        );
    }

    #[test]
    fn one_partial_pass_is_under_way_at_a_time() {
        let mut track_test = TrackTest::new();
        track_test.play(&sentence("weasels.wav"), none);
        let partial_jobs = track_test
            .jobs
            .iter()
            .filter(|job| job.priority != JobPriority::Final);
        assert_eq!(partial_jobs.count(), 1);
    }

    #[test]
    fn speech_after_a_pause_makes_a_partial_of_the_final_pass_and_cancels_it() {
        let speech = sentence("weasels.wav");
        let mut track_test = TrackTest::new();
        track_test.play(&speech, none);
        track_test.until_final(&[SILENCE; 4_000]);
        let first = track_test.jobs.pop().unwrap();
        assert!(wanted(&first) && !wanted(&track_test.jobs[0]));
        track_test.play(&speech, none);
        assert!(!wanted(&first), "the final pass goes on in vain");
        track_test.complete_job(&first, recognized("said so far"));
        assert_eq!(track_test.partials.last().unwrap().unstable, "said so far");
        assert!(track_test.segments.is_empty());

        track_test.until_final(&[SILENCE; 4_000]);
        let last = track_test.jobs.pop().unwrap();
        assert_eq!(
            (last.utterance, last.clip.start),
            (first.utterance, first.clip.start)
        );
        assert!(last.clip.samples.len() > first.clip.samples.len());
        track_test.play_silence(600, none);
        track_test.complete_job(&last, recognized("all of it"));
        assert_eq!(track_test.texts(), ["all of it"]);
        assert!(track_test.pipeline.is_settled());
    }

    #[test]
    fn a_result_before_the_end_of_the_pause_waits_for_it() {
        let mut track_test = TrackTest::new();
        track_test.play(&sentence("weasels.wav"), none);
        track_test.until_final(&[SILENCE; 4_000]);
        let job = track_test.jobs.pop().unwrap();
        track_test.complete_job(&job, recognized("weasels have eaten"));
        assert_eq!(
            track_test.partials.last().unwrap().unstable,
            "weasels have eaten"
        );
        assert!(track_test.segments.is_empty() && !track_test.pipeline.is_settled());
        track_test.play_silence(600, none);
        assert_eq!(track_test.texts(), ["weasels have eaten"]);
    }

    #[test]
    fn audio_that_stops_coming_gives_a_partial_soon_and_ends_the_utterance_later() {
        let speech = sentence("weasels.wav");
        let mut track_test = TrackTest::new();
        assert_eq!(track_test.pipeline.deadline(), None);
        track_test.play(&speech[..12_000], none);
        let silent_since = track_test.now;
        let first_job = track_test.jobs.pop().unwrap();
        track_test.complete_job(&first_job, recognized("weasels"));
        let (moment, stall) = (Duration::from_millis(1), TrackConfig::default().stall);
        track_test.wait(stall.saturating_sub(moment));
        assert!(track_test.jobs.is_empty());
        track_test.wait(moment);
        let later_job = track_test.jobs.pop().unwrap();
        assert_eq!(later_job.priority, JobPriority::Partial);
        assert!(later_job.clip.samples.len() > first_job.clip.samples.len());
        track_test.complete_job(&later_job, recognized("weasels have"));
        assert_eq!(track_test.partials.last().unwrap().unstable, "weasels have");

        let deadline = track_test
            .pipeline
            .deadline()
            .expect("the utterance is open");
        assert_eq!(
            deadline,
            silent_since + TrackConfig::default().stall_endpoint
        );
        track_test.wait(deadline.saturating_duration_since(track_test.now + moment));
        assert!(track_test.jobs.is_empty(), "nothing new was heard");
        track_test.now = deadline;
        track_test.input(TrackInput::Tick);
        assert_eq!(track_test.pipeline.deadline(), None);
        let job = track_test.jobs.pop().unwrap();
        assert_eq!(job.priority, JobPriority::Final);
        track_test.complete_job(&job, recognized("weasels"));
        assert_eq!(track_test.texts(), ["weasels"]);
        assert!(track_test.pipeline.is_settled());
    }

    #[test]
    fn a_partial_pass_under_way_when_the_audio_stops_is_followed_by_one_of_the_rest() {
        let mut track_test = TrackTest::new();
        track_test.play(&sentence("weasels.wav")[..12_000], none);
        let first = track_test.jobs.pop().unwrap();
        track_test.wait(TrackConfig::default().stall);
        assert!(track_test.jobs.is_empty(), "two drafts at a time");
        track_test.complete_job(&first, recognized("weasels"));
        let rest = track_test
            .jobs
            .pop()
            .expect("what came after the first draft");
        assert!(rest.clip.samples.len() > first.clip.samples.len());
        track_test.complete_job(&rest, recognized("weasels have"));
        assert!(track_test.jobs.is_empty(), "all is drafted");
    }

    #[test]
    fn frames_that_come_in_bunches_make_the_same_segments_as_frames_in_time() {
        let audio = three_utterances();
        let mut steady = TrackTest::new();
        steady.play(&audio, all);
        steady.finish(all);
        assert!(steady.segments.len() >= 3);
        for bunch_ms in [500, 800, 1_000, 1_500, 3_000, 6_000] {
            let mut bunched = TrackTest::new();
            for bunch in audio.chunks(bunch_ms * 8) {
                bunched.wait(Duration::from_millis(bunch.len() as u64 / 8));
                bunched.complete_jobs(&mut all);
                let arrived = bunched.now;
                for frame in bunch.chunks(FRAME_BYTES) {
                    bunched.chunk_at(arrived, frame);
                    bunched.complete_jobs(&mut all);
                }
            }
            bunched.finish(all);
            assert_eq!(
                outline(&steady.segments),
                outline(&bunched.segments),
                "bunches of {bunch_ms} ms"
            );
        }
    }

    #[test]
    fn the_other_track_s_clock_ends_the_utterance_of_a_track_without_frames() {
        let absent_ms = TrackConfig::default().absent_ms;
        let mut track_test = TrackTest::new();
        for frame in sentence("weasels.wav")[..12_000].chunks(FRAME_BYTES) {
            // The other track is always ahead of this one, as after a jump that was rejected.
            let position_ms = 60_000 + track_test.sent / 8;
            track_test.input(TrackInput::OtherTrack { position_ms });
            track_test.chunk(frame);
        }
        let at_last_frame_ms = 60_000 + (track_test.sent - FRAME_BYTES as u64) / 8;
        let position_ms = at_last_frame_ms + absent_ms - 1;
        track_test.input(TrackInput::OtherTrack { position_ms });
        assert!(
            track_test
                .jobs
                .iter()
                .all(|job| job.priority != JobPriority::Final)
        );
        let position_ms = position_ms + 1;
        track_test.input(TrackInput::OtherTrack { position_ms });
        assert_eq!(track_test.jobs.last().unwrap().priority, JobPriority::Final);
        assert_eq!(track_test.pipeline.deadline(), None);
    }

    #[test]
    fn another_track_that_comes_back_from_silence_ends_nobody_s_utterance() {
        let mut track_test = TrackTest::new();
        track_test.input(TrackInput::OtherTrack { position_ms: 100 });
        track_test.sent = 30_000 * 8;
        track_test.play(&sentence("weasels.wav")[..12_000], none);
        let position_ms = FIRST_STAMP_MS + track_test.sent / 8 + 20;
        track_test.input(TrackInput::OtherTrack { position_ms });
        assert!(
            track_test
                .jobs
                .iter()
                .all(|job| job.priority != JobPriority::Final)
        );
    }

    #[test]
    fn a_track_without_frames_for_eleven_minutes_keeps_its_place() {
        let speech = sentence("weasels.wav");
        let minutes_ms = 11 * 60_000;
        // The elapsed time is taken from this machine's clock, or from the other track where a call is played
        // faster.
        for by_the_other_track in [false, true] {
            let mut track_test = TrackTest::new();
            track_test.play(&speech, all);
            track_test.play_silence(1_000, all);
            let silent_since = track_test.now;
            track_test.sent += minutes_ms * 8;
            let position_ms = FIRST_STAMP_MS + track_test.sent / 8;
            if by_the_other_track {
                track_test.input(TrackInput::OtherTrack { position_ms });
            }
            for frame in speech.chunks(FRAME_BYTES) {
                let in_time = track_test.begin + Duration::from_micros(track_test.sent * 125);
                let at = if by_the_other_track {
                    silent_since
                } else {
                    in_time
                };
                track_test.chunk_at(at, frame);
                track_test.complete_jobs(&mut all);
            }
            track_test.finish(all);
            let [before, after] = &track_test.segments[..] else {
                panic!("{:?}", track_test.texts())
            };
            let apart_ms = minutes_ms + speech.len() as u64 / 8 + 1_000;
            assert!(
                (after.start_ms - before.start_ms).abs_diff(apart_ms) < 200,
                "{} and {}",
                before.start_ms,
                after.start_ms
            );
            assert_eq!(track_test.pipeline.timeline().counts().implausible, 0);
        }
    }

    #[test]
    fn the_end_of_the_stream_ends_the_utterance_and_nothing_is_heard_after_it() {
        let speech = sentence("weasels.wav");
        let mut track_test = TrackTest::new();
        track_test.play(&speech[..12_000], none);
        track_test.input(TrackInput::Finish);
        assert!(
            !track_test.pipeline.is_settled(),
            "the last words are still to come"
        );
        let job = track_test.jobs.pop().unwrap();
        assert_eq!(job.priority, JobPriority::Final);
        assert!(
            job.clip.duration_ms() >= 1_300,
            "only {} ms are left",
            job.clip.duration_ms()
        );
        track_test.play(&speech, none);
        track_test.input(TrackInput::Finish);
        track_test.complete_job(&job, recognized("weasels"));
        assert_eq!(track_test.texts(), ["weasels"]);
        assert!(track_test.pipeline.is_settled() && track_test.jobs.iter().all(|job| job.pass < 3));
    }

    #[test]
    fn an_utterance_that_could_not_be_recognised_is_told_without_words() {
        let bad = [
            || JobOutcome::Refused,
            || JobOutcome::Dropped,
            || JobOutcome::Failed(RecognizeError::Failed("broken".to_owned())),
        ];
        for outcome in bad {
            for before_the_end in [true, false] {
                let mut track_test = TrackTest::new();
                track_test.play(&sentence("weasels.wav"), none);
                track_test.until_final(&[SILENCE; 4_000]);
                let job = track_test.jobs.pop().unwrap();
                if before_the_end {
                    track_test.complete_job(&job, outcome());
                }
                track_test.play_silence(800, none);
                if !before_the_end {
                    track_test.complete_job(&job, outcome());
                }
                track_test.play(&sentence("married.wav"), none);
                track_test.finish(|job| (job.utterance == 2).then(|| recognized("the next one")));
                let told: Vec<_> = track_test
                    .segments
                    .iter()
                    .map(|s| (s.transcribed, &*s.text))
                    .collect();
                assert_eq!(told, [(false, ""), (true, "the next one")]);
                assert!(track_test.pipeline.is_settled());
            }
        }
    }

    #[test]
    fn what_was_shown_outlives_a_final_pass_that_failed() {
        let mut track_test = TrackTest::new();
        track_test.play(&sentence("busy-line.wav")[..28_000], all);
        let last = track_test.partials.last().unwrap();
        assert!(!last.stable.is_empty() && !last.unstable.is_empty());
        let shown = format!("{} {}", last.stable, last.unstable);
        track_test.finish(|_| Some(JobOutcome::Refused));
        assert_eq!(track_test.texts(), [shown]);
        assert!(!track_test.segments[0].transcribed);
    }

    #[test]
    fn silence_that_was_taken_for_speech_leaves_no_segment_unless_words_were_shown() {
        let mut track_test = TrackTest::new();
        track_test.play(&sentence("weasels.wav"), |_| Some(recognized("")));
        track_test.finish(|_| Some(recognized("")));
        assert!(track_test.segments.is_empty() && track_test.pipeline.is_settled());

        let mut track_test = TrackTest::new();
        track_test.play(&sentence("weasels.wav")[..12_000], |_| {
            Some(recognized("thank you"))
        });
        track_test.finish(|_| Some(recognized("")));
        assert_eq!(track_test.texts(), [""], "what was shown must go away");
    }

    #[test]
    fn a_leap_of_the_clock_ends_the_utterance_and_moves_the_next() {
        let speech = sentence("weasels.wav");
        let mut track_test = TrackTest::new();
        track_test.play(&speech[..12_000], all);
        track_test.sent += 90_000 * 8;
        track_test.play(&speech, all);
        track_test.finish(all);
        let [before, after] = &track_test.segments[..] else {
            panic!("{:?}", track_test.texts())
        };
        assert!(before.end_ms < 1_700, "{} ms", before.end_ms);
        assert!(
            (91_600..92_400).contains(&after.start_ms),
            "{} ms",
            after.start_ms
        );
        assert!(
            (94_000..95_000).contains(&after.end_ms),
            "{} ms",
            after.end_ms
        );
    }

    #[test]
    fn the_first_and_the_last_word_keep_to_the_edges_of_speech() {
        let samples = |ms| ms_to_samples(ms);
        let clip = AudioClip {
            samples: vec![0; samples(5_000) as usize].into(),
            start: samples(10_000),
            speech: samples(10_300)..samples(14_800),
        };
        let word = |start_ms, end_ms| RecognizedWord {
            text: "word".to_owned(),
            start_ms,
            end_ms,
            confidence: 1.0,
        };
        let times = |recognized: &[RecognizedWord]| -> Vec<(u64, u64)> {
            let placed = place_words(recognized.to_vec(), &clip);
            placed.iter().map(|w| (w.start_ms, w.end_ms)).collect()
        };
        let near = [word(0, 900), word(900, 2_000), word(2_000, 4_400)];
        let placed = [(10_300, 10_900), (10_900, 12_000), (12_000, 14_800)];
        assert_eq!(times(&near), placed);
        let near = [word(700, 900), word(4_000, 4_999)];
        assert_eq!(times(&near), [(10_300, 10_900), (14_000, 14_800)]);
        let far = [word(1_000, 1_500), word(1_500, 4_000)];
        assert_eq!(times(&far), [(11_000, 11_500), (11_500, 14_000)]);
        assert_eq!(times(&[word(600, 4_500)]), [(10_300, 14_800)]);
    }

    #[test]
    fn a_late_result_never_replaces_newer_words() {
        let mut track_test = TrackTest::new();
        track_test.play(&sentence("weasels.wav"), none);
        track_test.until_final(&[SILENCE; 4_000]);
        let last = track_test.jobs.pop().unwrap();
        let partial_job = track_test.jobs.remove(0);
        track_test.complete_job(&last, recognized("weasels have eaten our phone system"));
        track_test.complete_job(&partial_job, recognized("weasels"));
        assert_eq!(
            track_test.partials.len(),
            1,
            "the draft was shown after the final pass"
        );
        track_test.play_silence(600, none);
        track_test.complete_job(&partial_job, recognized("weasels"));
        track_test.complete_job(&last, recognized("something else"));
        assert_eq!(track_test.texts(), ["weasels have eaten our phone system"]);
        assert_eq!(track_test.partials.len(), 1);
    }

    #[test]
    fn words_at_the_end_of_a_clip_stay_unstable_however_late_its_result_is() {
        let speech = sentence("busy-line.wav");
        let mut track_test = TrackTest::new();
        track_test.play(&speech[..20_000], all);
        let job = loop {
            track_test.play(&speech[track_test.sent as usize..][..FRAME_BYTES], none);
            if let Some(job) = track_test.jobs.pop() {
                break job;
            }
        };
        // The speaker is seconds ahead of the recognizer when the results arrive.
        track_test.play(&speech[track_test.sent as usize..][..6_000], none);
        let JobOutcome::Recognized(hypothesis) = count(&job) else {
            panic!()
        };
        let stable = |words: &[RecognizedWord], speech_end_ms: u32| {
            words
                .iter()
                .filter(|word| word.end_ms + UNSTABLE_TAIL_MS <= speech_end_ms)
                .count()
        };
        let most = stable(&hypothesis.words, job.clip.speech_end_ms());
        track_test.complete_job(&job, JobOutcome::Recognized(hypothesis));
        let stable = track_test
            .partials
            .last()
            .unwrap()
            .stable
            .split_whitespace()
            .count();
        assert!(
            (1..=most).contains(&stable),
            "{stable} words settled, not up to {most}"
        );
    }

    #[test]
    fn frames_that_come_twice_change_nothing() {
        let speech = sentence("weasels.wav");
        let mut once = TrackTest::new();
        once.play(&speech, all);
        once.finish(all);
        let mut twice = TrackTest::new();
        for frame in speech.chunks(FRAME_BYTES) {
            twice.chunk(frame);
            twice.sent -= frame.len() as u64;
            twice.chunk(frame);
            twice.complete_jobs(&mut all);
        }
        twice.finish(all);
        assert_eq!(outline(&once.segments), outline(&twice.segments));
        assert_eq!(
            twice.pipeline.timeline().counts().late,
            speech.len().div_ceil(FRAME_BYTES) as u64
        );
    }

    #[test]
    fn the_first_language_detected_is_the_track_s_from_then_on() {
        let mut track_test = TrackTest::new();
        track_test.pipeline = TrackPipeline::new(
            track_test.pipeline.identity,
            TrackConfig {
                language: None,
                ..TrackConfig::default()
            },
        );
        let mut requested = BTreeSet::new();
        let mut recognize = |job: &RecognitionJob| {
            requested.insert((job.utterance, job.language.clone()));
            let JobOutcome::Recognized(mut hypothesis) = count(job) else {
                panic!()
            };
            hypothesis.language = if job.utterance == 1 { "de" } else { "fr" }.to_owned();
            Some(JobOutcome::Recognized(hypothesis))
        };
        for _ in 0..2 {
            track_test.play(&sentence("weasels.wav"), &mut recognize);
            track_test.play_silence(800, &mut recognize);
        }
        assert_eq!(
            requested.into_iter().collect::<Vec<_>>(),
            [(1, None), (2, Some("de".to_owned()))]
        );
        assert!(
            track_test
                .segments
                .iter()
                .all(|segment| segment.language == "de")
        );
    }

    /// The fields of the segments that do not depend on the times of the results.
    fn outline(segments: &[Segment]) -> Vec<(&SegmentId, u64, u64, &str, bool)> {
        let outline = |s: &'_ Segment| (s.start_ms, s.end_ms, s.transcribed);
        segments
            .iter()
            .map(|s| (s, outline(s)))
            .map(|(s, (start, end, transcribed))| (&s.id, start, end, s.text.as_str(), transcribed))
            .collect()
    }

    fn three_utterances() -> Vec<u8> {
        let gap = vec![SILENCE; 8 * 700];
        let says = ["weasels.wav", "married.wav", "recorded.wav"].map(sentence);
        says.join(&gap[..])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn however_the_audio_is_cut_the_segments_are_the_same(
            cuts in prop::collection::vec(1_usize..400, 50..300),
        ) {
            let audio = three_utterances();
            let mut whole = TrackTest::new();
            whole.play(&audio, all);
            whole.finish(all);
            let mut cut = TrackTest::new();
            let mut rest = &audio[..];
            for length in cuts.into_iter().cycle() {
                let (chunk, after) = rest.split_at(length.min(rest.len()));
                cut.chunk(chunk);
                cut.complete_jobs(&mut all);
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            cut.finish(all);
            prop_assert!(whole.segments.len() >= 3);
            prop_assert_eq!(outline(&whole.segments), outline(&cut.segments));
        }

        /// [`TrackTest`] checks that stable text only grows, that each final is published once, and that
        /// nothing follows it; here results are late, out of order, contradictory, failed, or all of that.
        #[test]
        fn whatever_is_answered_and_when_every_utterance_ends_in_one_segment(
            answers in prop::collection::vec((0_u8..8, "([abc] ){1,8}", 0_usize..4), 20..60),
        ) {
            let audio = three_utterances();
            let mut track_test = TrackTest::new();
            let mut answers = answers.into_iter().cycle();
            let mut reply = |track_test: &mut TrackTest| {
                let (kind, text, place) = answers.next().expect("a cycle");
                if track_test.jobs.is_empty() {
                    return;
                }
                let job = track_test.jobs.remove(place % track_test.jobs.len());
                let outcome = match kind {
                    0 => JobOutcome::Refused,
                    1 => JobOutcome::Failed(RecognizeError::Failed("broken".to_owned())),
                    2 => JobOutcome::Dropped,
                    _ => JobOutcome::Recognized(hypothesis(&text, job.clip.speech_end_ms())),
                };
                track_test.complete_job(&job, outcome);
            };
            for (n, frame) in audio.chunks(FRAME_BYTES).enumerate() {
                track_test.chunk(frame);
                if n % 7 == 0 {
                    reply(&mut track_test);
                }
            }
            track_test.input(TrackInput::Finish);
            let utterances = track_test.pipeline.latest_utterance as usize;
            while !track_test.jobs.is_empty() {
                reply(&mut track_test);
            }
            prop_assert!(track_test.pipeline.is_settled());
            prop_assert!(utterances >= 3);
            prop_assert_eq!(track_test.segments.len(), utterances);
            let announced = track_test.partials.iter().map(|partial| &partial.segment_id);
            for id in announced {
                prop_assert!(track_test.segments.iter().any(|segment| segment.id == *id));
            }
        }
    }
}
