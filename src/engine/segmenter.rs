//! Frames → utterances. Pure: no I/O; time is the number of samples that have passed.
//!
//! ```text
//!            OPEN_FRAMES of speech               `pause`          `endpoint`
//!   Quiet ──────────────────────────► Speaking ─────────► Paused ─────────► Closed
//!   (keeps the pre-roll)                  ▲                  │
//!                                         └──── speech ──────┘
//! ```
//!
//! A pause is where the final pass may begin early; the endpoint is where it counts. An utterance
//! that grows past the soft cap ends at its first short pause, and at the hard cap it is cut where
//! the voice is quietest, the rest going on as the next utterance.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use crate::audio;
use crate::engine::vad::FRAME;
use crate::engine::vad::FRAME_MS;
use crate::engine::vad::Verdict;

/// Where utterances begin and end. All times in milliseconds.
#[derive(Debug, Clone)]
pub struct Config {
    /// Audio kept from before speech was noticed. Shorter clips soft first consonants.
    pub pre_roll_ms: u64,
    /// Silence after which the final pass begins, in case no more speech comes. Shorter gives
    /// earlier finals and more passes in vain.
    pub pause_ms: u64,
    /// Silence that ends an utterance. Shorter gives earlier finals and cuts slow talkers up.
    pub endpoint_ms: u64,
    /// Silence that ends an utterance which has passed the soft cap.
    pub capped_endpoint_ms: u64,
    /// Speech kept after its last frame, so that the final consonant is whole.
    pub tail_ms: u64,
    /// Length past which an utterance ends at the first chance.
    pub soft_cap_ms: u64,
    /// Length at which an utterance is cut. Whisper hears 30 s at most.
    pub hard_cap_ms: u64,
    /// An utterance with less speech than this is a click or a breath.
    pub speech_ms_min: u64,
    /// An utterance whose clearest frame scores below this is not speech.
    pub peak_score_min: f32,
}

impl Default for Config {
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

/// This many frames of speech in a row open an utterance (48 ms): a click is shorter.
const OPEN_FRAMES: u64 = 3;

/// How far back from the hard cap the quietest frame is looked for.
const CUT_WINDOW_MS: u64 = 3_000;

/// A stretch of audio with its place on the call's clock.
#[derive(Debug, Clone, PartialEq)]
pub struct Clip {
    /// 16 kHz mono.
    pub samples: Arc<[i16]>,
    /// Where `samples` begins, in 16 kHz samples on the call's clock.
    pub start: u64,
    /// Where speech is, on the same clock.
    pub speech: Range<u64>,
}

impl Clip {
    /// Length in milliseconds.
    pub fn ms(&self) -> u64 {
        ms(self.samples.len() as u64)
    }

    /// Where speech ends, in milliseconds from the beginning of the clip.
    pub fn speech_end_ms(&self) -> u32 {
        ms(self.speech.end.saturating_sub(self.start)) as u32
    }
}

/// Samples on the 16 kHz clock as milliseconds.
pub fn ms(samples: u64) -> u64 {
    samples * 1_000 / u64::from(audio::SPEECH_HZ)
}

/// Milliseconds as samples on the 16 kHz clock.
pub fn samples(ms: u64) -> u64 {
    ms * u64::from(audio::SPEECH_HZ) / 1_000
}

/// What a frame changed.
#[derive(Debug, Clone, PartialEq)]
pub enum Cue {
    /// Speech has begun.
    Opened,
    /// Speech has paused: this may be all.
    Paused(Clip),
    /// Speech went on after a pause.
    Resumed,
    /// The utterance is over; this is all of it.
    Closed(Clip),
    /// The utterance is over and was no speech after all.
    Discarded,
}

/// Finds the utterances of one track.
#[derive(Debug)]
pub struct Segmenter {
    config: Config,
    /// Where the next frame begins.
    position: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Quiet {
        recent: VecDeque<i16>,
        speech_frames: u64,
    },
    Speaking(Utterance),
}

#[derive(Debug)]
struct Utterance {
    start: u64,
    samples: Vec<i16>,
    /// Level of each frame, for the hard cut.
    levels_db: Vec<f32>,
    speech: Range<u64>,
    speech_frames: u64,
    peak_score: f32,
    paused: bool,
}

impl Segmenter {
    /// A track that begins at `position`, in 16 kHz samples on the call's clock.
    pub fn new(config: Config, position: u64) -> Self {
        Self {
            config,
            position,
            state: State::quiet(),
        }
    }

    /// Takes the next frame and what the detector thinks of it; returns what it changed.
    pub fn push(&mut self, frame: &[f32; FRAME], verdict: Verdict) -> Vec<Cue> {
        let start = self.position;
        self.position += FRAME as u64;
        let frame = frame.map(to_i16);
        match &mut self.state {
            State::Quiet {
                recent,
                speech_frames,
            } => {
                recent.extend(frame);
                *speech_frames = if verdict.speech {
                    *speech_frames + 1
                } else {
                    0
                };
                if *speech_frames == OPEN_FRAMES {
                    return self.open(verdict);
                }
                // The frames that open an utterance are no pre-roll; the last of them is to come.
                let opening = (OPEN_FRAMES - 1) * FRAME as u64;
                let keep = (samples(self.config.pre_roll_ms) + opening) as usize;
                recent.drain(..recent.len().saturating_sub(keep));
                vec![]
            }
            State::Speaking(utterance) => {
                let was_paused = utterance.paused;
                utterance.push(start, &frame, verdict);
                let mut cues = vec![];
                if was_paused && !utterance.paused {
                    cues.push(Cue::Resumed);
                }
                cues.extend(self.end_if_due());
                cues
            }
        }
    }

    /// The utterance so far, while somebody speaks (and it is no click).
    pub fn so_far(&self) -> Option<Clip> {
        match &self.state {
            State::Speaking(utterance) if utterance.is_speech(&self.config) => {
                Some(utterance.clip(utterance.samples.len()))
            }
            State::Quiet { .. } | State::Speaking(_) => None,
        }
    }

    /// Where the utterance's speech ends so far, in samples on the call's clock.
    pub fn speech_end(&self) -> Option<u64> {
        match &self.state {
            State::Quiet { .. } => None,
            State::Speaking(utterance) => Some(utterance.speech.end),
        }
    }

    /// Samples of the utterance so far; zero when nobody speaks.
    pub fn length(&self) -> u64 {
        match &self.state {
            State::Quiet { .. } => 0,
            State::Speaking(utterance) => utterance.samples.len() as u64,
        }
    }

    /// Ends the utterance here, if there is one: the audio stopped coming.
    pub fn close(&mut self) -> Option<Cue> {
        match std::mem::replace(&mut self.state, State::quiet()) {
            State::Quiet { .. } => None,
            State::Speaking(utterance) => Some(self.closed(&utterance)),
        }
    }

    /// Ends the utterance, if there is one, and goes on at `position`.
    pub fn jump(&mut self, position: u64) -> Option<Cue> {
        let cue = self.close();
        self.position = position;
        cue
    }

    fn open(&mut self, verdict: Verdict) -> Vec<Cue> {
        let State::Quiet {
            recent,
            speech_frames,
        } = std::mem::replace(&mut self.state, State::quiet())
        else {
            return vec![];
        };
        let start = self.position - recent.len() as u64;
        let frames = recent.len() / FRAME;
        self.state = State::Speaking(Utterance {
            start,
            samples: recent.into(),
            levels_db: vec![verdict.level_db; frames],
            speech: self.position - speech_frames * FRAME as u64..self.position,
            speech_frames,
            peak_score: verdict.score,
            paused: false,
        });
        vec![Cue::Opened]
    }

    fn end_if_due(&mut self) -> Option<Cue> {
        let State::Speaking(utterance) = &mut self.state else {
            return None;
        };
        let silence_ms = ms(self.position - utterance.speech.end);
        let length_ms = ms(utterance.samples.len() as u64);
        let endpoint_ms = if length_ms >= self.config.soft_cap_ms {
            self.config.capped_endpoint_ms
        } else {
            self.config.endpoint_ms
        };
        if silence_ms >= endpoint_ms {
            return self.close();
        }
        if length_ms >= self.config.hard_cap_ms {
            return Some(self.cut());
        }
        let speech = utterance.is_speech(&self.config);
        if silence_ms >= self.config.pause_ms && !utterance.paused && speech {
            utterance.paused = true;
            let keep = utterance.kept(self.config.tail_ms);
            return Some(Cue::Paused(utterance.clip(keep)));
        }
        None
    }

    /// Cuts at the quietest frame near the hard cap; what follows begins the next utterance.
    fn cut(&mut self) -> Cue {
        let State::Speaking(mut utterance) = std::mem::replace(&mut self.state, State::quiet())
        else {
            return Cue::Discarded;
        };
        let frames = utterance.levels_db.len();
        let window = ((CUT_WINDOW_MS / FRAME_MS) as usize).min(frames - 1);
        let quietest = (frames - window..frames)
            .min_by(|&a, &b| utterance.levels_db[a].total_cmp(&utterance.levels_db[b]))
            .unwrap_or(frames - 1);
        let at = quietest * FRAME;
        let rest = utterance.samples.split_off(at);
        let rest_levels = utterance.levels_db.split_off(quietest);
        let cut = utterance.start + at as u64;
        let speech_end = utterance.speech.end;
        utterance.speech.end = speech_end.min(cut);
        self.state = State::Speaking(Utterance {
            start: cut,
            speech_frames: rest_levels.len() as u64,
            samples: rest,
            levels_db: rest_levels,
            speech: cut..speech_end.max(cut),
            peak_score: utterance.peak_score,
            paused: false,
        });
        let length = utterance.samples.len();
        Cue::Closed(utterance.clip(length))
    }

    fn closed(&self, utterance: &Utterance) -> Cue {
        if utterance.is_speech(&self.config) {
            Cue::Closed(utterance.clip(utterance.kept(self.config.tail_ms)))
        } else {
            Cue::Discarded
        }
    }
}

impl State {
    fn quiet() -> Self {
        Self::Quiet {
            recent: VecDeque::new(),
            speech_frames: 0,
        }
    }
}

impl Utterance {
    fn push(&mut self, start: u64, frame: &[i16; FRAME], verdict: Verdict) {
        self.samples.extend_from_slice(frame);
        self.levels_db.push(verdict.level_db);
        if verdict.speech {
            self.speech.end = start + FRAME as u64;
            self.speech_frames += 1;
            self.peak_score = self.peak_score.max(verdict.score);
            self.paused = false;
        }
    }

    /// Whether this is more than a click or a doubtful sound.
    fn is_speech(&self, config: &Config) -> bool {
        self.speech_frames * FRAME_MS >= config.speech_ms_min
            && self.peak_score >= config.peak_score_min
    }

    /// How many samples to keep: to `tail_ms` after the end of speech.
    fn kept(&self, tail_ms: u64) -> usize {
        let end = self.speech.end + samples(tail_ms) - self.start;
        (end as usize).min(self.samples.len())
    }

    fn clip(&self, length: usize) -> Clip {
        Clip {
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

    const SPEECH: Verdict = Verdict {
        speech: true,
        score: 0.9,
        level_db: -30.0,
    };
    const SILENCE: Verdict = Verdict {
        speech: false,
        score: 0.1,
        level_db: -70.0,
    };

    /// Runs `(verdict, frames)` stretches; returns each cue with the frame that gave it.
    fn run(segmenter: &mut Segmenter, stretches: &[(Verdict, usize)]) -> Vec<(usize, Cue)> {
        let verdicts = stretches
            .iter()
            .flat_map(|&(verdict, n)| std::iter::repeat_n(verdict, n));
        verdicts
            .enumerate()
            .flat_map(|(n, verdict)| {
                segmenter
                    .push(&[0.25; FRAME], verdict)
                    .into_iter()
                    .map(move |cue| (n, cue))
            })
            .collect()
    }

    fn segmenter() -> Segmenter {
        Segmenter::new(Config::default(), 1_600)
    }

    fn names(cues: &[(usize, Cue)]) -> Vec<&'static str> {
        cues.iter()
            .map(|(_, cue)| match cue {
                Cue::Opened => "opened",
                Cue::Paused(_) => "paused",
                Cue::Resumed => "resumed",
                Cue::Closed(_) => "closed",
                Cue::Discarded => "discarded",
            })
            .collect()
    }

    #[test]
    fn an_utterance_opens_pauses_and_closes() {
        let cues = run(
            &mut segmenter(),
            &[(SILENCE, 50), (SPEECH, 40), (SILENCE, 60)],
        );
        assert_eq!(names(&cues), ["opened", "paused", "closed"]);
        assert_eq!(cues[0].0, 52);
        assert_eq!(cues[1].0, 89 + 13, "208 ms of silence");
        assert_eq!(cues[2].0, 89 + 31, "496 ms of silence");
        let Cue::Closed(clip) = &cues[2].1 else {
            panic!()
        };
        let first = 1_600 + 50 * FRAME as u64;
        assert_eq!(clip.speech, first..first + 40 * FRAME as u64);
        assert_eq!(ms(clip.speech.start - clip.start), 320, "the pre-roll");
        assert_eq!(clip.ms(), 320 + 640 + 192);
    }

    #[test]
    fn speech_after_a_pause_goes_on_in_the_same_utterance() {
        let stretches = [(SPEECH, 40), (SILENCE, 20), (SPEECH, 20), (SILENCE, 40)];
        let cues = run(&mut segmenter(), &stretches);
        assert_eq!(
            names(&cues),
            ["opened", "paused", "resumed", "paused", "closed"]
        );
    }

    #[test]
    fn clicks_and_doubtful_sounds_are_discarded() {
        let cues = run(&mut segmenter(), &[(SPEECH, 5), (SILENCE, 60)]);
        assert_eq!(names(&cues), ["opened", "discarded"]);
        let doubtful = Verdict {
            score: 0.6,
            ..SPEECH
        };
        let cues = run(&mut segmenter(), &[(doubtful, 100), (SILENCE, 60)]);
        assert_eq!(names(&cues), ["opened", "discarded"]);
        assert!(run(&mut segmenter(), &[(SPEECH, 2), (SILENCE, 60)]).is_empty());
    }

    #[test]
    fn past_the_soft_cap_the_first_short_pause_ends_it() {
        let cues = run(
            &mut segmenter(),
            &[(SPEECH, 800), (SILENCE, 9), (SPEECH, 20)],
        );
        assert_eq!(names(&cues), ["opened", "closed", "opened"]);
        assert_eq!(cues[1].0, 800 + 8);
    }

    #[test]
    fn the_hard_cap_cuts_where_it_is_quietest_and_loses_no_sample() {
        let quiet = Verdict {
            level_db: -50.0,
            ..SPEECH
        };
        let mut segmenter = segmenter();
        let cues = run(
            &mut segmenter,
            &[(SPEECH, 1_150), (quiet, 1), (SPEECH, 200), (SILENCE, 40)],
        );
        assert_eq!(names(&cues), ["opened", "closed", "paused", "closed"]);
        let (Cue::Closed(first), Cue::Closed(second)) = (&cues[1].1, &cues[3].1) else {
            panic!()
        };
        assert_eq!(first.start + first.samples.len() as u64, second.start);
        assert_eq!(second.start, 1_600 + 1_150 * FRAME as u64);
        assert_eq!(second.speech.end, 1_600 + 1_351 * FRAME as u64);
    }

    #[test]
    fn closing_by_hand_keeps_what_was_said() {
        let mut segmenter = segmenter();
        run(&mut segmenter, &[(SPEECH, 40)]);
        assert!(matches!(segmenter.close(), Some(Cue::Closed(clip)) if clip.ms() == 640));
        assert_eq!(segmenter.close(), None);
        assert_eq!(segmenter.so_far(), None);
    }

    #[test]
    fn a_jump_ends_the_utterance_and_moves_the_clock() {
        let mut segmenter = segmenter();
        run(&mut segmenter, &[(SPEECH, 40)]);
        assert!(matches!(segmenter.jump(160_000), Some(Cue::Closed(_))));
        let cues = run(&mut segmenter, &[(SPEECH, 40), (SILENCE, 40)]);
        let Cue::Closed(clip) = &cues[2].1 else {
            panic!()
        };
        assert_eq!(clip.speech.start, 160_000);
    }
}
