//! One track of one call, whole: μ-law frames in, partials and finals out. Pure: no I/O; takes
//! `now`; asks for recognition by emitting jobs and hears the answers as input.
//!
//! ```text
//!  Audio ─► mulaw ─► timeline ─► resample ─► vad ─► segmenter ─► cues
//!                                                                 │
//!            ┌──────── Job ◄── utterances: drafts while speaking, ┘
//!            ▼                 a final pass from the pause on
//!        (engine)
//!            └─ Answer ──► stabilizer ──► Partial …, Segment
//! ```
//!
//! After each [`Voice::handle`], drain [`Voice::poll`]; then sleep until [`Voice::deadline`] at
//! the latest.

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
use crate::audio::timeline::Placed;
use crate::audio::timeline::Timeline;
use crate::engine::recognizer::HeardWord;
use crate::engine::recognizer::Hypothesis;
use crate::engine::recognizer::RecognizeError;
use crate::engine::recognizer::join;
use crate::engine::scheduler::Job;
use crate::engine::scheduler::Purpose;
use crate::engine::scheduler::VoiceId;
use crate::engine::segmenter;
use crate::engine::segmenter::Clip;
use crate::engine::segmenter::Cue;
use crate::engine::segmenter::Segmenter;
use crate::engine::segmenter::ms;
use crate::engine::stabilizer::Stabilizer;
use crate::engine::vad::FRAME;
use crate::engine::vad::Vad;
use crate::ids::SegmentId;
use crate::ids::Track;
use crate::transcript::Partial;
use crate::transcript::Segment;
use crate::transcript::Speaker;
use crate::transcript::Word;

/// When one voice asks for recognition.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where utterances begin and end.
    pub segmenter: segmenter::Config,
    /// Speech before the first draft. Shorter shows words earlier, and wrong ones more often.
    pub first_draft_ms: u64,
    /// New audio before the next draft. Shorter follows the speaker closer and costs a pass each.
    pub draft_step_ms: u64,
    /// Time without a frame after which the words so far are drafted and shown. The utterance stays
    /// open: frames that come late belong to it.
    pub stall: Duration,
    /// Time without a frame after which an open utterance ends. Longer than what TCP takes to send
    /// a segment again that was lost five times (6.2 s, RFC 6298), so that a bunch of frames after it
    /// goes on where the frames before it stopped.
    pub stall_endpoint: Duration,
    /// Audio of the other track that goes by without a frame of this one, after which an open
    /// utterance ends: the call's clock moves, and this track says nothing. Shorter gives earlier
    /// finals on a track that skips silent frames, and cuts utterances where Twilio's frames come in
    /// bunches of one track each.
    pub absent_ms: u64,
    /// ISO 639-1 code of what is spoken; `None`: the first final's language, from then on.
    pub language: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            segmenter: segmenter::Config::default(),
            first_draft_ms: 416,
            draft_step_ms: 640,
            stall: Duration::from_millis(700),
            stall_endpoint: Duration::from_secs(10),
            absent_ms: 2_000,
            language: Some("en".to_owned()),
        }
    }
}

/// A draft costs about as much as the speech it covers is long, so the step between drafts grows
/// with the utterance: at least a fifth of what has been said.
const DRAFT_STEP_SHARE: u64 = 5;

/// So near to where speech begins and ends, the voice detector knows better than Whisper, whose times
/// are those of subtitles, when the first word began and the last one ended.
const EDGE_MS: u64 = 500;

/// Which voice of which call this is.
#[derive(Debug, Clone, Copy)]
pub struct Identity {
    /// Its name within the engine.
    pub voice: VoiceId,
    /// The call's how manyth stream, from 1.
    pub stream: u32,
    /// The track it is heard on.
    pub track: Track,
    /// Who speaks.
    pub speaker: Speaker,
}

/// What happens to a voice.
#[derive(Debug)]
pub enum Input<'a> {
    /// μ-law at 8 kHz came, with its place in milliseconds from the start of the stream.
    Audio {
        /// The `timestamp` of Twilio's `media` message.
        timestamp_ms: u64,
        /// G.711 bytes; any number.
        mulaw: &'a [u8],
    },
    /// The other track of the call is here now: evidence that time goes by without a frame of this
    /// track.
    OtherTrack {
        /// Where its next sample goes, in milliseconds from the start of the stream.
        position_ms: u64,
    },
    /// A job ended.
    Answer(Answer),
    /// [`Voice::deadline`] has passed.
    Tick,
    /// No audio will come any more.
    Finish,
}

/// What became of a [`Job`].
#[derive(Debug)]
pub struct Answer {
    /// The job's.
    pub utterance: u32,
    /// The job's.
    pub question: u32,
    /// What was heard, or why nothing was.
    pub outcome: Outcome,
}

/// How a job ended.
#[derive(Debug)]
pub enum Outcome {
    /// It ran.
    Heard(Hypothesis),
    /// It ran and failed.
    Failed(RecognizeError),
    /// It never ran: replaced, stale, or no longer wanted.
    Dropped,
    /// It was refused: too many finals wait.
    Refused,
}

/// What a voice wants done.
#[derive(Debug)]
pub enum Output {
    /// Recognise this.
    Job(Job),
    /// Show this.
    Partial(Partial),
    /// Keep this.
    Segment(Segment),
}

/// One track's way from bytes to words.
#[derive(Debug)]
pub struct Voice {
    identity: Identity,
    config: Config,
    timeline: Timeline,
    /// What the timeline made of the latest frame.
    laid: Vec<i16>,
    upsampler: Upsampler,
    vad: Vad,
    /// None until the first frame says where the track begins.
    segmenter: Option<Segmenter>,
    /// 16 kHz samples that do not fill a frame yet.
    pending: Vec<f32>,
    utterances: BTreeMap<u32, Utterance>,
    /// The number of the latest utterance; the open one while somebody speaks.
    latest: u32,
    language: Option<String>,
    heard_at: Option<Instant>,
    /// Whether no frame has come for [`Config::stall`].
    is_stalled: bool,
    /// Where the other track is, in milliseconds from the start of the stream.
    other_ms: u64,
    /// Where it was when the latest frame of this track came.
    other_ms_at_frame: u64,
    finished: bool,
    outputs: VecDeque<Output>,
}

/// An utterance that is not settled yet.
#[derive(Debug)]
struct Utterance {
    stabilizer: Stabilizer,
    revision: u32,
    questions: u32,
    /// For each question without an answer: where speech ended in its clip, in milliseconds.
    asked: BTreeMap<u32, u32>,
    /// The latest question whose words were shown.
    shown: u32,
    /// The draft that is being worked on: its question, and the flag that calls it off.
    draft: Option<(u32, Arc<AtomicBool>)>,
    /// Audio covered by the last draft, in samples.
    drafted: u64,
    last: Option<FinalPass>,
    /// The whole of it, once it is over.
    closed: Option<Clip>,
    speech_start: u64,
    /// When its speech's latest end was heard.
    speech_end: u64,
    speech_end_heard_at: Instant,
}

/// A final pass over an utterance, begun at a pause or at its end.
#[derive(Debug)]
struct FinalPass {
    question: u32,
    unwanted: Arc<AtomicBool>,
    answer: Option<Outcome>,
}

impl Voice {
    /// A voice that has said nothing yet.
    pub fn new(identity: Identity, config: Config) -> Self {
        Self {
            identity,
            language: config.language.clone(),
            config,
            timeline: Timeline::new(),
            laid: Vec::new(),
            upsampler: Upsampler::new(),
            vad: Vad::default(),
            segmenter: None,
            pending: Vec::with_capacity(2 * FRAME),
            utterances: BTreeMap::new(),
            latest: 0,
            heard_at: None,
            is_stalled: false,
            other_ms: 0,
            other_ms_at_frame: 0,
            finished: false,
            outputs: VecDeque::new(),
        }
    }

    /// Takes one thing that happened.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Audio {
                timestamp_ms,
                mulaw,
            } => {
                if !self.finished {
                    self.hear(now, timestamp_ms, mulaw);
                }
            }
            Input::OtherTrack { position_ms } => {
                self.other_ms = self.other_ms.max(position_ms);
                if self.is_speaking() && self.absent_ms() >= self.config.absent_ms {
                    self.close(now);
                }
            }
            Input::Answer(answer) => self.answer(now, answer),
            Input::Tick => self.tick(now),
            Input::Finish => self.finish(now),
        }
    }

    /// The next thing to do; drain after every `handle`.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to come back with [`Input::Tick`], if nothing else happens.
    pub fn deadline(&self) -> Option<Instant> {
        let wait = if self.is_stalled {
            self.config.stall_endpoint
        } else {
            self.config.stall
        };
        self.heard_at
            .filter(|_| self.is_speaking())
            .map(|at| at + wait)
    }

    /// Whether every word that was heard has been published.
    pub fn is_settled(&self) -> bool {
        self.utterances.is_empty() && !self.is_speaking()
    }

    /// What became of the frames so far.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// What the latest frame became on the call's clock: where its first sample is, at 8 kHz, and
    /// the samples; none of a frame that came too late.
    pub fn laid(&self) -> (u64, &[i16]) {
        let start = self.timeline.position() - self.laid.len() as u64;
        (start, &self.laid)
    }

    fn is_speaking(&self) -> bool {
        self.segmenter.as_ref().is_some_and(|s| s.length() > 0)
    }

    /// How far the other track went on since the latest frame of this one. Where it only caught up
    /// with this one, or always was ahead of it, that is no evidence.
    fn absent_ms(&self) -> u64 {
        let own_ms = self.timeline.position() / LINE_SAMPLES_PER_MS;
        self.other_ms
            .saturating_sub(self.other_ms_at_frame.max(own_ms))
    }

    /// The time since the latest frame, by this machine's clock or the other track's stamps.
    fn passed_ms(&self, now: Instant) -> u64 {
        let waited = self
            .heard_at
            .map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        self.absent_ms().max(waited.as_millis() as u64)
    }

    fn tick(&mut self, now: Instant) {
        if self.deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        if self.is_stalled {
            self.close(now);
        } else {
            self.is_stalled = true;
            self.draft_if_due();
        }
    }

    fn hear(&mut self, now: Instant, timestamp_ms: u64, mulaw: &[u8]) {
        self.timeline.time_passed(self.passed_ms(now));
        self.heard_at = Some(now);
        self.is_stalled = false;
        self.other_ms_at_frame = self.other_ms;
        let samples: Vec<i16> = mulaw.iter().map(|&byte| mulaw::decode(byte)).collect();
        self.laid.clear();
        match self.timeline.push(timestamp_ms, &samples, &mut self.laid) {
            Placed::Next | Placed::AfterGap { .. } => {}
            Placed::Late => return,
            Placed::Jumped { to_sample } => self.jump(now, to_sample * 2),
        }
        if self.segmenter.is_none() {
            let start = self.laid().0 * 2;
            self.segmenter = Some(Segmenter::new(self.config.segmenter.clone(), start));
        }
        self.upsampler.push(&self.laid, &mut self.pending);
        self.judge_frames(now);
        self.draft_if_due();
    }

    fn judge_frames(&mut self, now: Instant) {
        let Some(mut segmenter) = self.segmenter.take() else {
            return;
        };
        let mut taken = 0;
        while let Some(frame) = self.pending[taken..].first_chunk::<FRAME>() {
            taken += FRAME;
            let verdict = self.vad.judge(frame);
            for cue in segmenter.push(frame, verdict) {
                self.follow(now, cue, &segmenter);
            }
            if let (Some(utterance), Some(end)) = (
                self.utterances.get_mut(&self.latest),
                segmenter.speech_end(),
            ) && end > utterance.speech_end
            {
                utterance.speech_end = end;
                utterance.speech_end_heard_at = now;
            }
        }
        self.pending.drain(..taken);
        self.segmenter = Some(segmenter);
    }

    /// Does what a cue of the segmenter asks for.
    fn follow(&mut self, now: Instant, cue: Cue, segmenter: &Segmenter) {
        match cue {
            Cue::Opened => self.open(now),
            Cue::Paused(clip) => self.ask_final(now, self.latest, clip),
            Cue::Resumed => {
                if let Some(pass) = self.current().and_then(|utterance| utterance.last.take()) {
                    pass.unwanted.store(true, Ordering::Relaxed);
                }
            }
            Cue::Closed(clip) => {
                let number = self.latest;
                if segmenter.length() > 0 {
                    // The hard cap cut it: the rest is an utterance of its own already.
                    self.open(now);
                }
                self.end(now, number, clip);
            }
            Cue::Discarded => {
                self.utterances.remove(&self.latest);
            }
        }
    }

    fn open(&mut self, now: Instant) {
        self.latest += 1;
        self.utterances.insert(
            self.latest,
            Utterance {
                stabilizer: Stabilizer::default(),
                revision: 0,
                questions: 0,
                asked: BTreeMap::new(),
                shown: 0,
                draft: None,
                drafted: 0,
                last: None,
                closed: None,
                speech_start: 0,
                speech_end: 0,
                speech_end_heard_at: now,
            },
        );
    }

    fn current(&mut self) -> Option<&mut Utterance> {
        self.utterances.get_mut(&self.latest)
    }

    fn draft_if_due(&mut self) {
        let Some(segmenter) = &self.segmenter else {
            return;
        };
        let length = segmenter.length();
        let Some(utterance) = self.utterances.get(&self.latest) else {
            return;
        };
        if utterance.closed.is_some() || utterance.draft.is_some() || utterance.last.is_some() {
            return;
        }
        let due_ms = if utterance.drafted == 0 {
            self.config.segmenter.pre_roll_ms + self.config.first_draft_ms
        } else {
            self.config.draft_step_ms.max(ms(length) / DRAFT_STEP_SHARE)
        };
        // Nothing more comes for now: what there is is drafted, however little it is.
        let due_ms = if self.is_stalled { 1 } else { due_ms };
        if ms(length - utterance.drafted) < due_ms {
            return;
        }
        let Some(clip) = segmenter.so_far() else {
            return;
        };
        let first = utterance.revision == 0;
        let purpose = if first {
            Purpose::FirstPartial
        } else {
            Purpose::Partial
        };
        self.ask(self.latest, clip, purpose);
    }

    /// Starts the final pass over an utterance that may be over.
    fn ask_final(&mut self, now: Instant, number: u32, clip: Clip) {
        let Some(utterance) = self.utterances.get_mut(&number) else {
            return;
        };
        if let Some((_, unwanted)) = utterance.draft.take() {
            unwanted.store(true, Ordering::Relaxed);
        }
        if clip.speech.end > utterance.speech_end {
            utterance.speech_end = clip.speech.end;
            utterance.speech_end_heard_at = now;
        }
        self.ask(number, clip, Purpose::Final);
    }

    fn ask(&mut self, number: u32, clip: Clip, purpose: Purpose) {
        let Some(utterance) = self.utterances.get_mut(&number) else {
            return;
        };
        utterance.questions += 1;
        utterance
            .asked
            .insert(utterance.questions, clip.speech_end_ms());
        utterance.speech_start = clip.speech.start;
        let unwanted = Arc::new(AtomicBool::new(false));
        if purpose == Purpose::Final {
            utterance.last = Some(FinalPass {
                question: utterance.questions,
                unwanted: unwanted.clone(),
                answer: None,
            });
        } else {
            utterance.drafted = clip.samples.len() as u64;
            utterance.draft = Some((utterance.questions, unwanted.clone()));
        }
        self.outputs.push_back(Output::Job(Job {
            voice: self.identity.voice,
            utterance: number,
            question: utterance.questions,
            purpose,
            clip,
            language: self.language.clone(),
            heard_at: utterance.speech_end_heard_at,
            unwanted,
        }));
    }

    /// The utterance is over: its final pass is done, under way, or begins now.
    fn end(&mut self, now: Instant, number: u32, clip: Clip) {
        let Some(utterance) = self.utterances.get_mut(&number) else {
            return;
        };
        utterance.closed = Some(clip.clone());
        match &mut utterance.last {
            None => self.ask_final(now, number, clip),
            Some(FinalPass { answer, .. }) => {
                if let Some(outcome) = answer.take() {
                    self.publish(now, number, outcome);
                }
            }
        }
    }

    fn answer(&mut self, now: Instant, answer: Answer) {
        let Some(utterance) = self.utterances.get_mut(&answer.utterance) else {
            return;
        };
        let Some(heard_ms) = utterance.asked.remove(&answer.question) else {
            return;
        };
        let words = match &answer.outcome {
            Outcome::Heard(hypothesis) => Some(hypothesis.words.clone()),
            Outcome::Failed(_) | Outcome::Dropped | Outcome::Refused => None,
        };
        let mut is_draft = false;
        match &mut utterance.last {
            Some(pass) if pass.question == answer.question => {
                if utterance.closed.is_some() {
                    self.publish(now, answer.utterance, answer.outcome);
                    return;
                }
                pass.answer = Some(answer.outcome);
            }
            _ => {
                is_draft = true;
                utterance
                    .draft
                    .take_if(|(question, _)| *question == answer.question);
            }
        }
        // Workers overtake each other: older words must not replace newer ones.
        if let Some(words) = words
            && answer.question > utterance.shown
        {
            utterance.shown = answer.question;
            let words = if is_draft {
                utterance.stabilizer.worth_showing(words, heard_ms)
            } else {
                words
            };
            self.show(answer.utterance, words, heard_ms);
        }
        if self.is_stalled {
            self.draft_if_due();
        }
    }

    /// Shows words that were heard in the first `heard_ms` of the utterance.
    fn show(&mut self, number: u32, words: Vec<HeardWord>, heard_ms: u32) {
        let Some(utterance) = self.utterances.get_mut(&number) else {
            return;
        };
        let Some((stable, unstable)) = utterance.stabilizer.push(words, heard_ms) else {
            return;
        };
        utterance.revision += 1;
        self.outputs.push_back(Output::Partial(Partial {
            segment_id: SegmentId::new(self.identity.stream, self.identity.track, number),
            revision: utterance.revision,
            track: self.identity.track,
            speaker: self.identity.speaker,
            start_ms: ms(utterance.speech_start),
            stable,
            unstable,
            echo: false,
        }));
    }

    fn publish(&mut self, now: Instant, number: u32, outcome: Outcome) {
        let Some(utterance) = self.utterances.remove(&number) else {
            return;
        };
        let Some(clip) = utterance.closed else { return };
        let hypothesis = match outcome {
            Outcome::Heard(hypothesis) => Some(hypothesis),
            Outcome::Failed(_) | Outcome::Dropped | Outcome::Refused => None,
        };
        let transcribed = hypothesis.is_some();
        let heard = match &hypothesis {
            Some(hypothesis) => utterance.stabilizer.finish(&hypothesis.words),
            None => utterance.stabilizer.finish_as_shown(),
        };
        let hypothesis = hypothesis.unwrap_or_default();
        if self.language.is_none() && !hypothesis.words.is_empty() {
            self.language = Some(hypothesis.language.clone());
        }
        if heard.is_empty() && transcribed && utterance.revision == 0 {
            return; // No words, and nobody was shown any.
        }
        let language = self.language.clone().unwrap_or(hypothesis.language);
        let words = place(heard, &clip);
        self.outputs.push_back(Output::Segment(Segment {
            id: SegmentId::new(self.identity.stream, self.identity.track, number),
            track: self.identity.track,
            speaker: self.identity.speaker,
            start_ms: ms(clip.speech.start),
            end_ms: ms(clip.speech.end),
            text: join(words.iter().map(|word| word.text.as_str())),
            words,
            language,
            latency_ms: now
                .saturating_duration_since(utterance.speech_end_heard_at)
                .as_millis() as u64,
            transcribed,
            echo: false,
        }));
    }

    fn jump(&mut self, now: Instant, to: u64) {
        self.upsampler.reset();
        self.pending.clear();
        // The detector goes on as it is: the same voice speaks before and after, and a detector that
        // begins in the middle of a word is too unsure to take its rest for speech.
        if let Some(mut segmenter) = self.segmenter.take() {
            let cue = segmenter.jump(to);
            self.follow_all(now, cue, segmenter);
        }
    }

    fn close(&mut self, now: Instant) {
        if let Some(mut segmenter) = self.segmenter.take() {
            let cue = segmenter.close();
            self.follow_all(now, cue, segmenter);
        }
    }

    fn follow_all(&mut self, now: Instant, cue: Option<Cue>, segmenter: Segmenter) {
        if let Some(cue) = cue {
            self.follow(now, cue, &segmenter);
        }
        self.segmenter = Some(segmenter);
    }

    fn finish(&mut self, now: Instant) {
        if self.finished {
            return;
        }
        self.finished = true;
        self.upsampler.flush(&mut self.pending);
        let whole = self.pending.len().next_multiple_of(FRAME);
        self.pending.resize(whole, 0.0);
        self.judge_frames(now);
        self.close(now);
    }
}

/// Words on the call's clock: never before the clip, after the speech, or running backwards; the first
/// and the last from and to where speech does, if they are near it.
fn place(heard: Vec<HeardWord>, clip: &Clip) -> Vec<Word> {
    let (start, end) = (ms(clip.speech.start), ms(clip.speech.end));
    let mut earliest = start;
    let mut words: Vec<Word> = heard
        .into_iter()
        .map(|word| {
            let from =
                (ms(clip.start) + u64::from(word.start_ms)).clamp(earliest, end.max(earliest));
            let to = (ms(clip.start) + u64::from(word.end_ms)).clamp(from, end.max(from));
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
        && first.start_ms - start <= EDGE_MS
    {
        first.start_ms = start;
    }
    if let Some(last) = words.last_mut()
        && end.saturating_sub(last.end_ms) <= EDGE_MS
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
    use crate::audio::recording::Recording;
    use crate::clock;
    use crate::engine::stabilizer::UNSETTLED_TAIL_MS;

    const SILENCE: u8 = 0xff;
    const FRAME_BYTES: usize = 160;
    const FIRST_STAMP_MS: u64 = 100;

    /// A sentence from the fixtures, as μ-law.
    fn sentence(name: &str) -> Vec<u8> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/prompts");
        let channels = Recording::read_all(&path.join(name), LINE_HZ).unwrap();
        let encode = |&sample: &f32| mulaw::encode((sample * 32_767.0) as i16);
        channels[0].iter().map(encode).collect()
    }

    fn hypothesis(text: &str, over_ms: u32) -> Hypothesis {
        let texts: Vec<&str> = text.split_whitespace().collect();
        let step_ms = over_ms / (texts.len() as u32).max(1);
        let words = texts.iter().zip(0u32..).map(|(text, n)| HeardWord {
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

    /// One word for each 200 ms of speech, each named after its place: longer clips go on where
    /// shorter ones end.
    fn count(job: &Job) -> Outcome {
        let n = job.clip.speech_end_ms() / 200;
        let words: Vec<String> = (1..=n).map(|n| format!("w{n}")).collect();
        Outcome::Heard(hypothesis(&words.join(" "), n * 200))
    }

    /// A voice, its time, and what it wanted; fails when the voice breaks a promise.
    struct Stage {
        voice: Voice,
        begin: Instant,
        now: Instant,
        sent: u64,
        jobs: Vec<Job>,
        partials: Vec<Partial>,
        segments: Vec<Segment>,
    }

    impl Stage {
        fn new() -> Self {
            let now = clock::now();
            let identity = Identity {
                voice: VoiceId(7),
                stream: 3,
                track: Track::Outbound,
                speaker: Speaker::Customer,
            };
            Self {
                voice: Voice::new(identity, Config::default()),
                begin: now,
                now,
                sent: 0,
                jobs: Vec::new(),
                partials: Vec::new(),
                segments: Vec::new(),
            }
        }

        fn input(&mut self, input: Input<'_>) {
            self.voice.handle(self.now, input);
            while let Some(output) = self.voice.poll() {
                match output {
                    Output::Job(job) => self.jobs.push(job),
                    Output::Partial(partial) => self.see_partial(partial),
                    Output::Segment(segment) => self.see_segment(segment),
                }
            }
        }

        fn see_partial(&mut self, partial: Partial) {
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

        fn see_segment(&mut self, segment: Segment) {
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

        /// Sends a piece of the track's audio right after the last.
        fn chunk(&mut self, mulaw: &[u8]) {
            let sent = self.sent + mulaw.len() as u64;
            self.chunk_at(self.begin + Duration::from_micros(sent * 125), mulaw);
        }

        /// The same, with another time of arrival.
        fn chunk_at(&mut self, now: Instant, mulaw: &[u8]) {
            let timestamp_ms = FIRST_STAMP_MS + self.sent / 8;
            self.sent += mulaw.len() as u64;
            self.now = now;
            self.input(Input::Audio {
                timestamp_ms,
                mulaw,
            });
        }

        /// Sends 20 ms frames until one of them asks for a final pass; the index after it.
        fn until_final(&mut self, mulaw: &[u8]) -> usize {
            for (n, frame) in mulaw.chunks(FRAME_BYTES).enumerate() {
                self.chunk(frame);
                if self
                    .jobs
                    .last()
                    .is_some_and(|job| job.purpose == Purpose::Final)
                {
                    return (n + 1) * FRAME_BYTES;
                }
            }
            panic!("no final pass was asked for");
        }

        /// Sends 20 ms frames; `hear` answers each job at once, or leaves it in `jobs`.
        fn play(&mut self, mulaw: &[u8], mut hear: impl FnMut(&Job) -> Option<Outcome>) {
            for frame in mulaw.chunks(FRAME_BYTES) {
                self.chunk(frame);
                self.answer_all(&mut hear);
            }
        }

        fn play_silence(&mut self, ms: usize, hear: impl FnMut(&Job) -> Option<Outcome>) {
            self.play(&vec![SILENCE; ms * 8], hear);
        }

        fn answer_all(&mut self, hear: &mut impl FnMut(&Job) -> Option<Outcome>) {
            let mut left = Vec::new();
            for job in std::mem::take(&mut self.jobs) {
                match hear(&job) {
                    Some(outcome) => self.answer(&job, outcome),
                    None => left.push(job),
                }
            }
            left.append(&mut self.jobs);
            self.jobs = left;
        }

        fn answer(&mut self, job: &Job, outcome: Outcome) {
            assert_eq!(job.voice, VoiceId(7));
            self.input(Input::Answer(Answer {
                utterance: job.utterance,
                question: job.question,
                outcome,
            }));
        }

        /// Lets time go by without a frame, from deadline to deadline.
        fn wait(&mut self, time: Duration) {
            let until = self.now + time;
            while let Some(at) = self.voice.deadline().filter(|at| *at <= until) {
                self.now = self.now.max(at);
                self.input(Input::Tick);
                let next = self.voice.deadline();
                assert!(next.is_none_or(|next| next > self.now), "a deadline stays");
            }
            self.now = until;
        }

        fn finish(&mut self, mut hear: impl FnMut(&Job) -> Option<Outcome>) {
            self.input(Input::Finish);
            self.answer_all(&mut hear);
        }

        fn texts(&self) -> Vec<&str> {
            self.segments.iter().map(|s| s.text.as_str()).collect()
        }
    }

    #[expect(
        clippy::unnecessary_wraps,
        reason = "the others may leave a job unanswered"
    )]
    fn all(job: &Job) -> Option<Outcome> {
        Some(count(job))
    }

    fn none(_: &Job) -> Option<Outcome> {
        None
    }

    fn heard(text: &str) -> Outcome {
        Outcome::Heard(hypothesis(text, 1_000))
    }

    fn wanted(job: &Job) -> bool {
        !job.unwanted.load(Ordering::Relaxed)
    }

    #[test]
    fn an_utterance_is_drafted_while_it_is_spoken_and_settled_after_it() {
        let mut stage = Stage::new();
        let mut asked = Vec::new();
        let mut hear = |job: &Job| {
            asked.push((
                job.purpose,
                job.question,
                job.clip.clone(),
                job.language.clone(),
            ));
            Some(count(job))
        };
        stage.play(&sentence("weasels.wav"), &mut hear);
        stage.play_silence(1_000, &mut hear);

        let purposes: Vec<Purpose> = asked.iter().map(|(purpose, ..)| *purpose).collect();
        assert_eq!(purposes.first(), Some(&Purpose::FirstPartial));
        assert_eq!(purposes.last(), Some(&Purpose::Final));
        assert!(purposes.contains(&Purpose::Partial));
        assert!(
            asked
                .iter()
                .map(|(_, question, ..)| *question)
                .eq(1..=asked.len() as u32)
        );
        for pair in asked.windows(2) {
            assert_eq!(pair[0].2.start, pair[1].2.start);
            let (a, b) = (&pair[0].2.samples, &pair[1].2.samples);
            assert_eq!(a[..a.len().min(b.len())], b[..a.len().min(b.len())]);
        }
        assert!(
            asked
                .iter()
                .all(|(.., language)| language.as_deref() == Some("en"))
        );

        let [segment] = &stage.segments[..] else {
            panic!("{:?}", stage.texts())
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
        assert!(stage.partials.len() > 2 && stage.voice.is_settled());
        assert!(
            stage
                .partials
                .iter()
                .any(|partial| !partial.stable.is_empty())
        );
    }

    #[test]
    fn one_draft_is_under_way_at_a_time() {
        let mut stage = Stage::new();
        stage.play(&sentence("weasels.wav"), none);
        let drafts = stage
            .jobs
            .iter()
            .filter(|job| job.purpose != Purpose::Final);
        assert_eq!(drafts.count(), 1);
    }

    #[test]
    fn speech_after_a_pause_makes_a_draft_of_the_final_pass_and_calls_it_off() {
        let speech = sentence("weasels.wav");
        let mut stage = Stage::new();
        stage.play(&speech, none);
        stage.until_final(&[SILENCE; 4_000]);
        let first = stage.jobs.pop().unwrap();
        assert!(wanted(&first) && !wanted(&stage.jobs[0]));
        stage.play(&speech, none);
        assert!(!wanted(&first), "the final pass goes on in vain");
        stage.answer(&first, heard("said so far"));
        assert_eq!(stage.partials.last().unwrap().unstable, "said so far");
        assert!(stage.segments.is_empty());

        stage.until_final(&[SILENCE; 4_000]);
        let last = stage.jobs.pop().unwrap();
        assert_eq!(
            (last.utterance, last.clip.start),
            (first.utterance, first.clip.start)
        );
        assert!(last.clip.samples.len() > first.clip.samples.len());
        stage.play_silence(600, none);
        stage.answer(&last, heard("all of it"));
        assert_eq!(stage.texts(), ["all of it"]);
        assert!(stage.voice.is_settled());
    }

    #[test]
    fn an_answer_before_the_end_of_the_pause_waits_for_it() {
        let mut stage = Stage::new();
        stage.play(&sentence("weasels.wav"), none);
        stage.until_final(&[SILENCE; 4_000]);
        let job = stage.jobs.pop().unwrap();
        stage.answer(&job, heard("weasels have eaten"));
        assert_eq!(
            stage.partials.last().unwrap().unstable,
            "weasels have eaten"
        );
        assert!(stage.segments.is_empty() && !stage.voice.is_settled());
        stage.play_silence(600, none);
        assert_eq!(stage.texts(), ["weasels have eaten"]);
    }

    #[test]
    fn audio_that_stops_coming_is_drafted_soon_and_ends_the_utterance_later() {
        let speech = sentence("weasels.wav");
        let mut stage = Stage::new();
        assert_eq!(stage.voice.deadline(), None);
        stage.play(&speech[..12_000], none);
        let silent_since = stage.now;
        let drafted = stage.jobs.pop().unwrap();
        stage.answer(&drafted, heard("weasels"));
        let (moment, stall) = (Duration::from_millis(1), Config::default().stall);
        stage.wait(stall.saturating_sub(moment));
        assert!(stage.jobs.is_empty());
        stage.wait(moment);
        let draft = stage.jobs.pop().unwrap();
        assert_eq!(draft.purpose, Purpose::Partial);
        assert!(draft.clip.samples.len() > drafted.clip.samples.len());
        stage.answer(&draft, heard("weasels have"));
        assert_eq!(stage.partials.last().unwrap().unstable, "weasels have");

        let deadline = stage.voice.deadline().expect("the utterance is open");
        assert_eq!(deadline, silent_since + Config::default().stall_endpoint);
        stage.wait(deadline.saturating_duration_since(stage.now + moment));
        assert!(stage.jobs.is_empty(), "nothing new was heard");
        stage.now = deadline;
        stage.input(Input::Tick);
        assert_eq!(stage.voice.deadline(), None);
        let job = stage.jobs.pop().unwrap();
        assert_eq!(job.purpose, Purpose::Final);
        stage.answer(&job, heard("weasels"));
        assert_eq!(stage.texts(), ["weasels"]);
        assert!(stage.voice.is_settled());
    }

    #[test]
    fn a_draft_under_way_when_the_audio_stops_is_followed_by_one_of_the_rest() {
        let mut stage = Stage::new();
        stage.play(&sentence("weasels.wav")[..12_000], none);
        let first = stage.jobs.pop().unwrap();
        stage.wait(Config::default().stall);
        assert!(stage.jobs.is_empty(), "two drafts at a time");
        stage.answer(&first, heard("weasels"));
        let rest = stage.jobs.pop().expect("what came after the first draft");
        assert!(rest.clip.samples.len() > first.clip.samples.len());
        stage.answer(&rest, heard("weasels have"));
        assert!(stage.jobs.is_empty(), "all is drafted");
    }

    #[test]
    fn frames_that_come_in_bunches_make_the_same_segments_as_frames_in_time() {
        let audio = three_utterances();
        let mut steady = Stage::new();
        steady.play(&audio, all);
        steady.finish(all);
        assert!(steady.segments.len() >= 3);
        for bunch_ms in [500, 800, 1_000, 1_500, 3_000, 6_000] {
            let mut bunched = Stage::new();
            for bunch in audio.chunks(bunch_ms * 8) {
                bunched.wait(Duration::from_millis(bunch.len() as u64 / 8));
                bunched.answer_all(&mut all);
                let arrived = bunched.now;
                for frame in bunch.chunks(FRAME_BYTES) {
                    bunched.chunk_at(arrived, frame);
                    bunched.answer_all(&mut all);
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
        let absent_ms = Config::default().absent_ms;
        let mut stage = Stage::new();
        for frame in sentence("weasels.wav")[..12_000].chunks(FRAME_BYTES) {
            // It is ahead of this one all the time, as after a jump that was not believed.
            let position_ms = 60_000 + stage.sent / 8;
            stage.input(Input::OtherTrack { position_ms });
            stage.chunk(frame);
        }
        let at_last_frame_ms = 60_000 + (stage.sent - FRAME_BYTES as u64) / 8;
        let position_ms = at_last_frame_ms + absent_ms - 1;
        stage.input(Input::OtherTrack { position_ms });
        assert!(stage.jobs.iter().all(|job| job.purpose != Purpose::Final));
        let position_ms = position_ms + 1;
        stage.input(Input::OtherTrack { position_ms });
        assert_eq!(stage.jobs.last().unwrap().purpose, Purpose::Final);
        assert_eq!(stage.voice.deadline(), None);
    }

    #[test]
    fn another_track_that_comes_back_from_silence_ends_nobody_s_utterance() {
        let mut stage = Stage::new();
        stage.input(Input::OtherTrack { position_ms: 100 });
        stage.sent = 30_000 * 8;
        stage.play(&sentence("weasels.wav")[..12_000], none);
        let position_ms = FIRST_STAMP_MS + stage.sent / 8 + 20;
        stage.input(Input::OtherTrack { position_ms });
        assert!(stage.jobs.iter().all(|job| job.purpose != Purpose::Final));
    }

    #[test]
    fn a_track_without_frames_for_eleven_minutes_keeps_its_place() {
        let speech = sentence("weasels.wav");
        let minutes_ms = 11 * 60_000;
        // The time is told by this machine's clock, or, where a call is played faster, by the other
        // track.
        for by_the_other_track in [false, true] {
            let mut stage = Stage::new();
            stage.play(&speech, all);
            stage.play_silence(1_000, all);
            let silent_since = stage.now;
            stage.sent += minutes_ms * 8;
            let position_ms = FIRST_STAMP_MS + stage.sent / 8;
            if by_the_other_track {
                stage.input(Input::OtherTrack { position_ms });
            }
            for frame in speech.chunks(FRAME_BYTES) {
                let in_time = stage.begin + Duration::from_micros(stage.sent * 125);
                let at = if by_the_other_track {
                    silent_since
                } else {
                    in_time
                };
                stage.chunk_at(at, frame);
                stage.answer_all(&mut all);
            }
            stage.finish(all);
            let [before, after] = &stage.segments[..] else {
                panic!("{:?}", stage.texts())
            };
            let apart_ms = minutes_ms + speech.len() as u64 / 8 + 1_000;
            assert!(
                (after.start_ms - before.start_ms).abs_diff(apart_ms) < 200,
                "{} and {}",
                before.start_ms,
                after.start_ms
            );
            assert_eq!(stage.voice.timeline().counts().unbelieved, 0);
        }
    }

    #[test]
    fn the_end_of_the_stream_ends_the_utterance_and_nothing_is_heard_after_it() {
        let speech = sentence("weasels.wav");
        let mut stage = Stage::new();
        stage.play(&speech[..12_000], none);
        stage.input(Input::Finish);
        assert!(
            !stage.voice.is_settled(),
            "the last words are still to come"
        );
        let job = stage.jobs.pop().unwrap();
        assert_eq!(job.purpose, Purpose::Final);
        assert!(job.clip.ms() >= 1_300, "only {} ms are left", job.clip.ms());
        stage.play(&speech, none);
        stage.input(Input::Finish);
        stage.answer(&job, heard("weasels"));
        assert_eq!(stage.texts(), ["weasels"]);
        assert!(stage.voice.is_settled() && stage.jobs.iter().all(|job| job.question < 3));
    }

    #[test]
    fn an_utterance_that_could_not_be_recognised_is_told_without_words() {
        let bad = [
            || Outcome::Refused,
            || Outcome::Dropped,
            || Outcome::Failed(RecognizeError::Failed("broken".to_owned())),
        ];
        for outcome in bad {
            for before_the_end in [true, false] {
                let mut stage = Stage::new();
                stage.play(&sentence("weasels.wav"), none);
                stage.until_final(&[SILENCE; 4_000]);
                let job = stage.jobs.pop().unwrap();
                if before_the_end {
                    stage.answer(&job, outcome());
                }
                stage.play_silence(800, none);
                if !before_the_end {
                    stage.answer(&job, outcome());
                }
                stage.play(&sentence("married.wav"), none);
                stage.finish(|job| (job.utterance == 2).then(|| heard("the next one")));
                let told: Vec<_> = stage
                    .segments
                    .iter()
                    .map(|s| (s.transcribed, &*s.text))
                    .collect();
                assert_eq!(told, [(false, ""), (true, "the next one")]);
                assert!(stage.voice.is_settled());
            }
        }
    }

    #[test]
    fn what_was_shown_outlives_a_final_pass_that_failed() {
        let mut stage = Stage::new();
        stage.play(&sentence("busy-line.wav")[..28_000], all);
        let last = stage.partials.last().unwrap();
        assert!(!last.stable.is_empty() && !last.unstable.is_empty());
        let shown = format!("{} {}", last.stable, last.unstable);
        stage.finish(|_| Some(Outcome::Refused));
        assert_eq!(stage.texts(), [shown]);
        assert!(!stage.segments[0].transcribed);
    }

    #[test]
    fn silence_that_was_taken_for_speech_leaves_no_segment_unless_words_were_shown() {
        let mut stage = Stage::new();
        stage.play(&sentence("weasels.wav"), |_| Some(heard("")));
        stage.finish(|_| Some(heard("")));
        assert!(stage.segments.is_empty() && stage.voice.is_settled());

        let mut stage = Stage::new();
        stage.play(&sentence("weasels.wav")[..12_000], |_| {
            Some(heard("thank you"))
        });
        stage.finish(|_| Some(heard("")));
        assert_eq!(stage.texts(), [""], "what was shown must go away");
    }

    #[test]
    fn a_leap_of_the_clock_ends_the_utterance_and_moves_the_next() {
        let speech = sentence("weasels.wav");
        let mut stage = Stage::new();
        stage.play(&speech[..12_000], all);
        stage.sent += 90_000 * 8;
        stage.play(&speech, all);
        stage.finish(all);
        let [before, after] = &stage.segments[..] else {
            panic!("{:?}", stage.texts())
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
        let samples = |ms| segmenter::samples(ms);
        let clip = Clip {
            samples: vec![0; samples(5_000) as usize].into(),
            start: samples(10_000),
            speech: samples(10_300)..samples(14_800),
        };
        let word = |start_ms, end_ms| HeardWord {
            text: "word".to_owned(),
            start_ms,
            end_ms,
            confidence: 1.0,
        };
        let times = |heard: &[HeardWord]| -> Vec<(u64, u64)> {
            let placed = place(heard.to_vec(), &clip);
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
    fn a_late_answer_never_replaces_newer_words() {
        let mut stage = Stage::new();
        stage.play(&sentence("weasels.wav"), none);
        stage.until_final(&[SILENCE; 4_000]);
        let last = stage.jobs.pop().unwrap();
        let draft = stage.jobs.remove(0);
        stage.answer(&last, heard("weasels have eaten our phone system"));
        stage.answer(&draft, heard("weasels"));
        assert_eq!(
            stage.partials.len(),
            1,
            "the draft was shown after the final pass"
        );
        stage.play_silence(600, none);
        stage.answer(&draft, heard("weasels"));
        stage.answer(&last, heard("something else"));
        assert_eq!(stage.texts(), ["weasels have eaten our phone system"]);
        assert_eq!(stage.partials.len(), 1);
    }

    #[test]
    fn words_at_the_end_of_a_clip_stay_unsettled_however_late_its_answer_is() {
        let speech = sentence("busy-line.wav");
        let mut stage = Stage::new();
        stage.play(&speech[..20_000], all);
        let job = loop {
            stage.play(&speech[stage.sent as usize..][..FRAME_BYTES], none);
            if let Some(job) = stage.jobs.pop() {
                break job;
            }
        };
        // The speaker is seconds ahead of the recogniser when the answers come.
        stage.play(&speech[stage.sent as usize..][..6_000], none);
        let Outcome::Heard(hypothesis) = count(&job) else {
            panic!()
        };
        let settled = |words: &[HeardWord], heard_ms: u32| {
            words
                .iter()
                .filter(|word| word.end_ms + UNSETTLED_TAIL_MS <= heard_ms)
                .count()
        };
        let most = settled(&hypothesis.words, job.clip.speech_end_ms());
        stage.answer(&job, Outcome::Heard(hypothesis));
        let stable = stage
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
        let mut once = Stage::new();
        once.play(&speech, all);
        once.finish(all);
        let mut twice = Stage::new();
        for frame in speech.chunks(FRAME_BYTES) {
            twice.chunk(frame);
            twice.sent -= frame.len() as u64;
            twice.chunk(frame);
            twice.answer_all(&mut all);
        }
        twice.finish(all);
        assert_eq!(outline(&once.segments), outline(&twice.segments));
        assert_eq!(
            twice.voice.timeline().counts().late,
            speech.len().div_ceil(FRAME_BYTES) as u64
        );
    }

    #[test]
    fn the_first_language_heard_is_the_voice_s_from_then_on() {
        let mut stage = Stage::new();
        stage.voice = Voice::new(
            stage.voice.identity,
            Config {
                language: None,
                ..Config::default()
            },
        );
        let mut asked = BTreeSet::new();
        let mut hear = |job: &Job| {
            asked.insert((job.utterance, job.language.clone()));
            let Outcome::Heard(mut hypothesis) = count(job) else {
                panic!()
            };
            hypothesis.language = if job.utterance == 1 { "de" } else { "fr" }.to_owned();
            Some(Outcome::Heard(hypothesis))
        };
        for _ in 0..2 {
            stage.play(&sentence("weasels.wav"), &mut hear);
            stage.play_silence(800, &mut hear);
        }
        assert_eq!(
            asked.into_iter().collect::<Vec<_>>(),
            [(1, None), (2, Some("de".to_owned()))]
        );
        assert!(
            stage
                .segments
                .iter()
                .all(|segment| segment.language == "de")
        );
    }

    /// What does not depend on when answers came.
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
            let mut whole = Stage::new();
            whole.play(&audio, all);
            whole.finish(all);
            let mut cut = Stage::new();
            let mut rest = &audio[..];
            for length in cuts.into_iter().cycle() {
                let (chunk, after) = rest.split_at(length.min(rest.len()));
                cut.chunk(chunk);
                cut.answer_all(&mut all);
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            cut.finish(all);
            prop_assert!(whole.segments.len() >= 3);
            prop_assert_eq!(outline(&whole.segments), outline(&cut.segments));
        }

        /// [`Stage`] checks that words only grow, that finals come once, and that nothing follows
        /// them; here answers are late, out of order, contradictory, bad, or all of that.
        #[test]
        fn whatever_is_answered_and_when_every_utterance_ends_in_one_segment(
            answers in prop::collection::vec((0_u8..8, "([abc] ){1,8}", 0_usize..4), 20..60),
        ) {
            let audio = three_utterances();
            let mut stage = Stage::new();
            let mut answers = answers.into_iter().cycle();
            let mut reply = |stage: &mut Stage| {
                let (kind, text, place) = answers.next().expect("a cycle");
                if stage.jobs.is_empty() {
                    return;
                }
                let job = stage.jobs.remove(place % stage.jobs.len());
                let outcome = match kind {
                    0 => Outcome::Refused,
                    1 => Outcome::Failed(RecognizeError::Failed("broken".to_owned())),
                    2 => Outcome::Dropped,
                    _ => Outcome::Heard(hypothesis(&text, job.clip.speech_end_ms())),
                };
                stage.answer(&job, outcome);
            };
            for (n, frame) in audio.chunks(FRAME_BYTES).enumerate() {
                stage.chunk(frame);
                if n % 7 == 0 {
                    reply(&mut stage);
                }
            }
            stage.input(Input::Finish);
            let utterances = stage.voice.latest as usize;
            while !stage.jobs.is_empty() {
                reply(&mut stage);
            }
            prop_assert!(stage.voice.is_settled());
            prop_assert!(utterances >= 3);
            prop_assert_eq!(stage.segments.len(), utterances);
            let announced = stage.partials.iter().map(|partial| &partial.segment_id);
            for id in announced {
                prop_assert!(stage.segments.iter().any(|segment| segment.id == *id));
            }
        }
    }
}
