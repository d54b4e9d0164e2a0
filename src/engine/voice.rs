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
    /// Silence on the wire after which an open utterance ends without waiting for a frame.
    pub stall: Duration,
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
            language: Some("en".to_owned()),
        }
    }
}

/// A draft costs about as much as the speech it covers is long, so the step between drafts grows
/// with the utterance: at least a fifth of what has been said.
const DRAFT_STEP_SHARE: u64 = 5;

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
            upsampler: Upsampler::new(),
            vad: Vad::default(),
            segmenter: None,
            pending: Vec::with_capacity(2 * FRAME),
            utterances: BTreeMap::new(),
            latest: 0,
            heard_at: None,
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
            Input::Answer(answer) => self.answer(now, answer),
            Input::Tick => {
                if self.deadline().is_some_and(|deadline| deadline <= now) {
                    self.close(now);
                }
            }
            Input::Finish => self.finish(now),
        }
    }

    /// The next thing to do; drain after every `handle`.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to come back with [`Input::Tick`], if nothing else happens.
    pub fn deadline(&self) -> Option<Instant> {
        let speaking = self.segmenter.as_ref().is_some_and(|s| s.length() > 0);
        self.heard_at
            .filter(|_| speaking)
            .map(|at| at + self.config.stall)
    }

    /// Whether every word that was heard has been published.
    pub fn is_settled(&self) -> bool {
        self.utterances.is_empty() && self.segmenter.as_ref().is_none_or(|s| s.length() == 0)
    }

    /// What became of the frames so far.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    fn hear(&mut self, now: Instant, timestamp_ms: u64, mulaw: &[u8]) {
        self.heard_at = Some(now);
        let samples: Vec<i16> = mulaw.iter().map(|&byte| mulaw::decode(byte)).collect();
        let mut laid = Vec::with_capacity(samples.len());
        match self.timeline.push(timestamp_ms, &samples, &mut laid) {
            Placed::Next | Placed::AfterGap { .. } => {}
            Placed::Late => return,
            Placed::Jumped { to_sample } => self.jump(now, to_sample * 2),
        }
        if self.segmenter.is_none() {
            let start = (self.timeline.position() - laid.len() as u64) * 2;
            self.segmenter = Some(Segmenter::new(self.config.segmenter.clone(), start));
        }
        self.upsampler.push(&laid, &mut self.pending);
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
        match &mut utterance.last {
            Some(pass) if pass.question == answer.question => {
                if utterance.closed.is_some() {
                    self.publish(now, answer.utterance, answer.outcome);
                    return;
                }
                pass.answer = Some(answer.outcome);
            }
            _ => {
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
            self.show(answer.utterance, words, heard_ms);
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
        }));
    }

    fn publish(&mut self, now: Instant, number: u32, outcome: Outcome) {
        let Some(utterance) = self.utterances.remove(&number) else {
            return;
        };
        let Some(clip) = utterance.closed else { return };
        let transcribed = matches!(outcome, Outcome::Heard(_));
        let hypothesis = match outcome {
            Outcome::Heard(hypothesis) => hypothesis,
            Outcome::Failed(_) | Outcome::Dropped | Outcome::Refused => Hypothesis::default(),
        };
        if self.language.is_none() && !hypothesis.words.is_empty() {
            self.language = Some(hypothesis.language.clone());
        }
        let heard = utterance.stabilizer.finish(hypothesis.words);
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
        }));
    }

    fn jump(&mut self, now: Instant, to: u64) {
        self.upsampler.reset();
        self.pending.clear();
        self.vad.reset();
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

/// Words on the call's clock: never before the clip, after the speech, or running backwards.
fn place(heard: Vec<HeardWord>, clip: &Clip) -> Vec<Word> {
    let (start, end) = (ms(clip.speech.start), ms(clip.speech.end));
    let mut earliest = start;
    heard
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
        .collect()
}
