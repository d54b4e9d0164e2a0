//! Splits the frames of a track into utterances. Pure: no I/O; time is the number of samples so far.
//!
//! ```text
//!            OPEN_FRAMES of speech               `pause`          `endpoint`
//!   Quiet ──────────────────────────► Speaking ─────────► Paused ─────────► Closed
//!   (keeps the pre-roll)                  ▲                  │
//!                                         └──── speech ──────┘
//! ```
//!
//! The final pass may start early at a pause; its result counts at the endpoint. An utterance that grows past
//! the soft cap ends at its first short pause. At the hard cap it is cut at its quietest frame, and the rest
//! becomes the next utterance.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use crate::audio;
use crate::engine::vad::FRAME_MS;
use crate::engine::vad::FRAME_SAMPLES;
use crate::engine::vad::VadDecision;

/// Start and end of utterances. All times in milliseconds.
#[derive(Debug, Clone)]
pub struct SegmenterConfig {
    /// Audio kept from before speech was detected. Shorter clips soft first consonants.
    pub pre_roll_ms: u64,
    /// Silence after which the final pass starts, in case no more speech follows. Shorter gives earlier
    /// finals and more wasted passes.
    pub pause_ms: u64,
    /// Silence that ends an utterance. Shorter gives earlier finals and splits the sentences of slow talkers.
    pub endpoint_ms: u64,
    /// Silence that ends an utterance longer than the soft cap.
    pub capped_endpoint_ms: u64,
    /// Audio kept after the last frame of speech, so that the final consonant is whole.
    pub tail_ms: u64,
    /// Length above which an utterance ends at its first short pause.
    pub soft_cap_ms: u64,
    /// Length at which an utterance is cut. Whisper's window is 30 s.
    pub hard_cap_ms: u64,
    /// An utterance with less speech than this is a click or a breath.
    pub speech_ms_min: u64,
    /// An utterance whose clearest frame scores below this is not speech.
    pub peak_score_min: f32,
}

impl Default for SegmenterConfig {
    fn default() -> Self {
        Self {
            pre_roll_ms: 320,
            pause_ms: 208,
            endpoint_ms: 496,
            capped_endpoint_ms: 144,
            tail_ms: 192,
            soft_cap_ms: 12_000,
            hard_cap_ms: 20_000,
            speech_ms_min: 112,
            peak_score_min: 0.7,
        }
    }
}

/// Consecutive frames of speech that open an utterance (48 ms): a click is shorter.
const OPEN_FRAMES: u64 = 3;

/// Length of the stretch before the hard cap that is searched for its quietest frame.
const CUT_WINDOW_MS: u64 = 3_000;

/// A stretch of audio with its position on the call's clock.
#[derive(Debug, Clone, PartialEq)]
pub struct AudioClip {
    /// 16 kHz mono.
    pub samples: Arc<[i16]>,
    /// Position of the first sample, in 16 kHz samples on the call's clock.
    pub start: u64,
    /// Position of the speech, on the same clock.
    pub speech: Range<u64>,
}

impl AudioClip {
    /// Returns the length in milliseconds.
    pub fn duration_ms(&self) -> u64 {
        samples_to_ms(self.samples.len() as u64)
    }

    /// Returns the end of speech, in milliseconds from the start of the clip.
    pub fn speech_end_ms(&self) -> u32 {
        samples_to_ms(self.speech.end.saturating_sub(self.start)) as u32
    }
}

/// Converts samples at 16 kHz to milliseconds.
pub fn samples_to_ms(samples: u64) -> u64 {
    samples * 1_000 / u64::from(audio::SPEECH_HZ)
}

/// Converts milliseconds to samples at 16 kHz.
pub fn ms_to_samples(ms: u64) -> u64 {
    ms * u64::from(audio::SPEECH_HZ) / 1_000
}

/// A change that a frame caused.
#[derive(Debug, Clone, PartialEq)]
pub enum SegmenterEvent {
    /// Speech has started.
    Opened,
    /// Speech has paused; the clip holds the utterance so far.
    Paused(AudioClip),
    /// Speech continues after a pause.
    Resumed,
    /// The utterance is over; the clip holds all of it.
    Closed(AudioClip),
    /// The utterance is over and was no speech.
    Discarded,
}

/// Finds the utterances of one track.
#[derive(Debug)]
pub struct Segmenter {
    config: SegmenterConfig,
    /// Position of the next frame, in 16 kHz samples.
    position: u64,
    state: SegmenterState,
}

#[derive(Debug)]
enum SegmenterState {
    Quiet {
        recent: VecDeque<i16>,
        speech_frames: u64,
    },
    Speaking(OpenUtterance),
}

#[derive(Debug)]
struct OpenUtterance {
    start: u64,
    samples: Vec<i16>,
    /// Level of each frame, for the cut at the hard cap.
    levels_db: Vec<f32>,
    speech: Range<u64>,
    speech_frames: u64,
    peak_score: f32,
    is_paused: bool,
}

impl Segmenter {
    /// Creates a segmenter of a track that starts at `position`, in 16 kHz samples on the call's clock.
    pub fn new(config: SegmenterConfig, position: u64) -> Self {
        Self {
            config,
            position,
            state: SegmenterState::quiet(),
        }
    }

    /// Takes the next frame and the detector's decision on it; returns the changes that it caused.
    pub fn push(
        &mut self,
        frame: &[f32; FRAME_SAMPLES],
        decision: VadDecision,
    ) -> Vec<SegmenterEvent> {
        let start = self.position;
        self.position += FRAME_SAMPLES as u64;
        let frame = frame.map(to_i16);
        match &mut self.state {
            SegmenterState::Quiet {
                recent,
                speech_frames,
            } => {
                recent.extend(frame);
                *speech_frames = if decision.is_speech {
                    *speech_frames + 1
                } else {
                    0
                };
                if *speech_frames == OPEN_FRAMES {
                    return self.open_utterance(decision);
                }
                // The frames that open an utterance are not part of the pre-roll; the last of them is the
                // next frame.
                let opening = (OPEN_FRAMES - 1) * FRAME_SAMPLES as u64;
                let keep = (ms_to_samples(self.config.pre_roll_ms) + opening) as usize;
                recent.drain(..recent.len().saturating_sub(keep));
                vec![]
            }
            SegmenterState::Speaking(utterance) => {
                let was_paused = utterance.is_paused;
                utterance.push(start, &frame, decision);
                let mut events = vec![];
                if was_paused && !utterance.is_paused {
                    events.push(SegmenterEvent::Resumed);
                }
                events.extend(self.end_if_due());
                events
            }
        }
    }

    /// Returns the open utterance so far; `None` outside an utterance, or if it may be a click.
    pub fn open_clip(&self) -> Option<AudioClip> {
        match &self.state {
            SegmenterState::Speaking(utterance) if utterance.is_speech(&self.config) => {
                Some(utterance.clip(utterance.samples.len()))
            }
            SegmenterState::Quiet { .. } | SegmenterState::Speaking(_) => None,
        }
    }

    /// Returns the end of the open utterance's speech so far, in samples on the call's clock.
    pub fn speech_end(&self) -> Option<u64> {
        match &self.state {
            SegmenterState::Quiet { .. } => None,
            SegmenterState::Speaking(utterance) => Some(utterance.speech.end),
        }
    }

    /// Returns the length of the open utterance in samples; zero if there is none.
    pub fn length(&self) -> u64 {
        match &self.state {
            SegmenterState::Quiet { .. } => 0,
            SegmenterState::Speaking(utterance) => utterance.samples.len() as u64,
        }
    }

    /// Ends the open utterance, if there is one: no more audio arrives.
    pub fn close(&mut self) -> Option<SegmenterEvent> {
        match std::mem::replace(&mut self.state, SegmenterState::quiet()) {
            SegmenterState::Quiet { .. } => None,
            SegmenterState::Speaking(utterance) => Some(self.closing_event(&utterance)),
        }
    }

    /// Ends the open utterance, if there is one, and continues at `position`.
    pub fn jump(&mut self, position: u64) -> Option<SegmenterEvent> {
        let event = self.close();
        self.position = position;
        event
    }

    fn open_utterance(&mut self, decision: VadDecision) -> Vec<SegmenterEvent> {
        let SegmenterState::Quiet {
            recent,
            speech_frames,
        } = std::mem::replace(&mut self.state, SegmenterState::quiet())
        else {
            return vec![];
        };
        let start = self.position - recent.len() as u64;
        let frames = recent.len() / FRAME_SAMPLES;
        self.state = SegmenterState::Speaking(OpenUtterance {
            start,
            samples: recent.into(),
            levels_db: vec![decision.level_db; frames],
            speech: self.position - speech_frames * FRAME_SAMPLES as u64..self.position,
            speech_frames,
            peak_score: decision.score,
            is_paused: false,
        });
        vec![SegmenterEvent::Opened]
    }

    fn end_if_due(&mut self) -> Option<SegmenterEvent> {
        let SegmenterState::Speaking(utterance) = &mut self.state else {
            return None;
        };
        let silence_ms = samples_to_ms(self.position - utterance.speech.end);
        let length_ms = samples_to_ms(utterance.samples.len() as u64);
        let endpoint_ms = if length_ms >= self.config.soft_cap_ms {
            self.config.capped_endpoint_ms
        } else {
            self.config.endpoint_ms
        };
        if silence_ms >= endpoint_ms {
            return self.close();
        }
        if length_ms >= self.config.hard_cap_ms {
            return Some(self.cut_utterance());
        }
        let speech = utterance.is_speech(&self.config);
        if silence_ms >= self.config.pause_ms && !utterance.is_paused && speech {
            utterance.is_paused = true;
            let keep = utterance.kept_samples(self.config.tail_ms);
            return Some(SegmenterEvent::Paused(utterance.clip(keep)));
        }
        None
    }

    /// Cuts at the quietest frame near the hard cap; the audio after it starts the next utterance.
    fn cut_utterance(&mut self) -> SegmenterEvent {
        let SegmenterState::Speaking(mut utterance) =
            std::mem::replace(&mut self.state, SegmenterState::quiet())
        else {
            return SegmenterEvent::Discarded;
        };
        let frames = utterance.levels_db.len();
        let window = ((CUT_WINDOW_MS / FRAME_MS) as usize).min(frames - 1);
        let quietest = (frames - window..frames)
            .min_by(|&a, &b| utterance.levels_db[a].total_cmp(&utterance.levels_db[b]))
            .unwrap_or(frames - 1);
        let at = quietest * FRAME_SAMPLES;
        let rest = utterance.samples.split_off(at);
        let rest_levels = utterance.levels_db.split_off(quietest);
        let cut = utterance.start + at as u64;
        let speech_end = utterance.speech.end;
        utterance.speech.end = speech_end.min(cut);
        self.state = SegmenterState::Speaking(OpenUtterance {
            start: cut,
            speech_frames: rest_levels.len() as u64,
            samples: rest,
            levels_db: rest_levels,
            speech: cut..speech_end.max(cut),
            peak_score: utterance.peak_score,
            is_paused: false,
        });
        let length = utterance.samples.len();
        SegmenterEvent::Closed(utterance.clip(length))
    }

    fn closing_event(&self, utterance: &OpenUtterance) -> SegmenterEvent {
        if utterance.is_speech(&self.config) {
            SegmenterEvent::Closed(utterance.clip(utterance.kept_samples(self.config.tail_ms)))
        } else {
            SegmenterEvent::Discarded
        }
    }
}

impl SegmenterState {
    fn quiet() -> Self {
        Self::Quiet {
            recent: VecDeque::new(),
            speech_frames: 0,
        }
    }
}

impl OpenUtterance {
    fn push(&mut self, start: u64, frame: &[i16; FRAME_SAMPLES], decision: VadDecision) {
        self.samples.extend_from_slice(frame);
        self.levels_db.push(decision.level_db);
        if decision.is_speech {
            self.speech.end = start + FRAME_SAMPLES as u64;
            self.speech_frames += 1;
            self.peak_score = self.peak_score.max(decision.score);
            self.is_paused = false;
        }
    }

    /// Whether this is more than a click or a doubtful sound.
    fn is_speech(&self, config: &SegmenterConfig) -> bool {
        self.speech_frames * FRAME_MS >= config.speech_ms_min
            && self.peak_score >= config.peak_score_min
    }

    /// Returns how many samples to keep: up to `tail_ms` after the end of speech.
    fn kept_samples(&self, tail_ms: u64) -> usize {
        let end = self.speech.end + ms_to_samples(tail_ms) - self.start;
        (end as usize).min(self.samples.len())
    }

    fn clip(&self, length: usize) -> AudioClip {
        AudioClip {
            samples: self.samples[..length].into(),
            start: self.start,
            speech: self.speech.clone(),
        }
    }
}

fn to_i16(sample: f32) -> i16 {
    (sample * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEECH: VadDecision = VadDecision {
        is_speech: true,
        score: 0.9,
        level_db: -30.0,
    };
    const SILENCE: VadDecision = VadDecision {
        is_speech: false,
        score: 0.1,
        level_db: -70.0,
    };

    /// Runs `(decision, frames)` stretches; returns each event with the index of the frame that caused it.
    fn run(
        segmenter: &mut Segmenter,
        stretches: &[(VadDecision, usize)],
    ) -> Vec<(usize, SegmenterEvent)> {
        let decisions = stretches
            .iter()
            .flat_map(|&(decision, n)| std::iter::repeat_n(decision, n));
        decisions
            .enumerate()
            .flat_map(|(n, decision)| {
                segmenter
                    .push(&[0.25; FRAME_SAMPLES], decision)
                    .into_iter()
                    .map(move |event| (n, event))
            })
            .collect()
    }

    fn segmenter() -> Segmenter {
        Segmenter::new(SegmenterConfig::default(), 1_600)
    }

    fn names(events: &[(usize, SegmenterEvent)]) -> Vec<&'static str> {
        events
            .iter()
            .map(|(_, event)| match event {
                SegmenterEvent::Opened => "opened",
                SegmenterEvent::Paused(_) => "paused",
                SegmenterEvent::Resumed => "resumed",
                SegmenterEvent::Closed(_) => "closed",
                SegmenterEvent::Discarded => "discarded",
            })
            .collect()
    }

    #[test]
    fn an_utterance_opens_pauses_and_closes() {
        let events = run(
            &mut segmenter(),
            &[(SILENCE, 50), (SPEECH, 40), (SILENCE, 60)],
        );
        assert_eq!(names(&events), ["opened", "paused", "closed"]);
        assert_eq!(events[0].0, 52);
        assert_eq!(events[1].0, 89 + 13, "208 ms of silence");
        assert_eq!(events[2].0, 89 + 31, "496 ms of silence");
        let SegmenterEvent::Closed(clip) = &events[2].1 else {
            panic!()
        };
        let first = 1_600 + 50 * FRAME_SAMPLES as u64;
        assert_eq!(clip.speech, first..first + 40 * FRAME_SAMPLES as u64);
        assert_eq!(
            samples_to_ms(clip.speech.start - clip.start),
            320,
            "the pre-roll"
        );
        assert_eq!(clip.duration_ms(), 320 + 640 + 192);
    }

    #[test]
    fn speech_after_a_pause_goes_on_in_the_same_utterance() {
        let stretches = [(SPEECH, 40), (SILENCE, 20), (SPEECH, 20), (SILENCE, 40)];
        let events = run(&mut segmenter(), &stretches);
        assert_eq!(
            names(&events),
            ["opened", "paused", "resumed", "paused", "closed"]
        );
    }

    #[test]
    fn clicks_and_uncertain_sounds_are_discarded() {
        let events = run(&mut segmenter(), &[(SPEECH, 5), (SILENCE, 60)]);
        assert_eq!(names(&events), ["opened", "discarded"]);
        let doubtful = VadDecision {
            score: 0.6,
            ..SPEECH
        };
        let events = run(&mut segmenter(), &[(doubtful, 100), (SILENCE, 60)]);
        assert_eq!(names(&events), ["opened", "discarded"]);
        assert!(run(&mut segmenter(), &[(SPEECH, 2), (SILENCE, 60)]).is_empty());
    }

    #[test]
    fn past_the_soft_cap_the_first_short_pause_ends_it() {
        let events = run(
            &mut segmenter(),
            &[(SPEECH, 800), (SILENCE, 9), (SPEECH, 20)],
        );
        assert_eq!(names(&events), ["opened", "closed", "opened"]);
        assert_eq!(events[1].0, 800 + 8);
    }

    #[test]
    fn the_hard_cap_cuts_where_it_is_quietest_and_loses_no_sample() {
        let quiet = VadDecision {
            level_db: -50.0,
            ..SPEECH
        };
        let mut segmenter = segmenter();
        let events = run(
            &mut segmenter,
            &[(SPEECH, 1_150), (quiet, 1), (SPEECH, 200), (SILENCE, 40)],
        );
        assert_eq!(names(&events), ["opened", "closed", "paused", "closed"]);
        let (SegmenterEvent::Closed(first), SegmenterEvent::Closed(second)) =
            (&events[1].1, &events[3].1)
        else {
            panic!()
        };
        assert_eq!(first.start + first.samples.len() as u64, second.start);
        assert_eq!(second.start, 1_600 + 1_150 * FRAME_SAMPLES as u64);
        assert_eq!(second.speech.end, 1_600 + 1_351 * FRAME_SAMPLES as u64);
    }

    #[test]
    fn closing_by_hand_keeps_what_was_said() {
        let mut segmenter = segmenter();
        run(&mut segmenter, &[(SPEECH, 40)]);
        assert!(
            matches!(segmenter.close(), Some(SegmenterEvent::Closed(clip)) if clip.duration_ms() == 640)
        );
        assert_eq!(segmenter.close(), None);
        assert_eq!(segmenter.open_clip(), None);
    }

    #[test]
    fn a_jump_ends_the_utterance_and_moves_the_clock() {
        let mut segmenter = segmenter();
        run(&mut segmenter, &[(SPEECH, 40)]);
        assert!(matches!(
            segmenter.jump(160_000),
            Some(SegmenterEvent::Closed(_))
        ));
        let events = run(&mut segmenter, &[(SPEECH, 40), (SILENCE, 40)]);
        let SegmenterEvent::Closed(clip) = &events[2].1 else {
            panic!()
        };
        assert_eq!(clip.speech.start, 160_000);
    }
}
