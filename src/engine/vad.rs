//! Is this 16 ms frame speech? Pure: no I/O.
//!
//! A small neural network (the `earshot` crate: 40 mel bands, three frames of context, tuned to
//! 16 kHz) gives a score; on recorded phone calls it says yes to 92–96 % of labelled speech and
//! to under 1 % of the rest. It takes music, tones and keyboards for speech too, so what it lets
//! through is judged again by what Whisper makes of it (`engine::hallucination`). A level gate keeps
//! line noise and far-away talk out.
//!
//! The network is deaf to quiet callers: of 207 words at −48 dB it let 118 pass. So it hears each frame
//! louder, as if the loudest of the last seconds were at [`TARGET_LEVEL_DB`]. What is fainter than
//! [`FAINT_LEVEL_DB`] stays as it is: that is the other party, heard through the line, and amplified it becomes
//! words that nobody said to this end. Whisper needs no such help: its spectrogram has no level.

use earshot::Detector;

/// Samples in one frame at 16 kHz.
pub const FRAME_SAMPLES: usize = 256;

/// Milliseconds in one frame.
pub const FRAME_MS: u64 = 16;

/// A frame this likely to be speech begins speech. Lower hears more breaths.
const SCORE_ON: f32 = 0.5;

/// A frame less likely than this ends speech. Lower bridges soft syllables.
const SCORE_OFF: f32 = 0.35;

/// Nothing below this level is speech of a party on the phone, in dB of full scale.
const LEVEL_DB_MIN: f32 = -62.0;

/// Speech stands out of the line's own noise by at least this much.
const ABOVE_FLOOR_DB_MIN: f32 = 6.0;

/// How fast the noise floor is believed to rise, a frame. 3 dB a second: faster takes long vowels
/// for noise, slower stays deaf longer when a fan starts.
const NOISE_FLOOR_RISE_DB: f32 = 3.0 * FRAME_MS as f32 / 1_000.0;

/// The noise floor is never believed to be higher than this: continuous loud sound is for the
/// network to judge.
const NOISE_FLOOR_DB_MAX: f32 = -45.0;

/// How loud the loudest frames are of speech that the network finds.
const TARGET_LEVEL_DB: f32 = -35.0;

/// What is quieter is amplified by no more than this. Of 24 clips at −48 dB 2 of 230 words are left out
/// with it, and none fewer with 26 dB, which lets the other party's echo through.
const GAIN_DB_MAX: f32 = 8.0;

/// A party whose loudest frame is fainter is not amplified. The loudest of speech at −48 dB are at −44;
/// where the other party was heard through the line in the gaps of real calls, and amplified, gave
/// words, two of three times they were below −50.
const FAINT_LEVEL_DB: f32 = -50.0;

/// Only a frame that stands out of the line's own noise by this much says how loud the party is.
const LOUD_ABOVE_FLOOR_DB_MIN: f32 = 10.0;

/// How fast the loudest frame is forgotten, a frame in which somebody is heard: 6 dB a second.
const PEAK_DECAY_DB: f32 = 6.0 * FRAME_MS as f32 / 1_000.0;

/// The level given to digital silence.
const SILENCE_DB: f32 = -100.0;

/// What the detector thinks of one frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VadDecision {
    /// Whether it is speech, hysteresis and gates applied.
    pub is_speech: bool,
    /// The network's score, 0 to 1.
    pub score: f32,
    /// Mean level in dB of full scale.
    pub level_db: f32,
}

/// The detector of one track; about 8 KiB.
pub struct Vad {
    detector: Box<Detector>,
    is_speaking: bool,
    noise_floor_db: f32,
    /// The loudest of the last seconds; `None`: nobody has been heard.
    peak_level_db: Option<f32>,
}

impl Default for Vad {
    fn default() -> Self {
        Self {
            detector: Detector::default_boxed(),
            is_speaking: false,
            noise_floor_db: NOISE_FLOOR_DB_MAX,
            peak_level_db: None,
        }
    }
}

impl std::fmt::Debug for Vad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vad")
            .field("speaking", &self.is_speaking)
            .finish_non_exhaustive()
    }
}

impl Vad {
    /// Judges the next frame: exactly [`FRAME_SAMPLES`] samples at 16 kHz, −1 to 1.
    pub fn push_frame(&mut self, frame: &[f32; FRAME_SAMPLES]) -> VadDecision {
        let level_db = level_db(frame);
        self.noise_floor_db = level_db
            .min(self.noise_floor_db + NOISE_FLOOR_RISE_DB)
            .min(NOISE_FLOOR_DB_MAX);
        let gain = self.update_gain(level_db);
        // A resampler overshoots loud consonants a little; the network takes no more than ±1.
        let score = self
            .detector
            .predict_f32(&frame.map(|sample| (sample * gain).clamp(-1.0, 1.0)));
        let is_audible =
            level_db >= LEVEL_DB_MIN && level_db >= self.noise_floor_db + ABOVE_FLOOR_DB_MIN;
        let threshold = if self.is_speaking {
            SCORE_OFF
        } else {
            SCORE_ON
        };
        self.is_speaking = score >= threshold && is_audible;
        VadDecision {
            is_speech: self.is_speaking,
            score,
            level_db,
        }
    }

    /// By how much the network hears a frame of this level louder than it is.
    fn update_gain(&mut self, level_db: f32) -> f32 {
        if level_db >= self.noise_floor_db + LOUD_ABOVE_FLOOR_DB_MIN {
            let fallen = self.peak_level_db.map(|peak_db| peak_db - PEAK_DECAY_DB);
            self.peak_level_db = Some(fallen.map_or(level_db, |fallen| fallen.max(level_db)));
        }
        let peak_level_db = self
            .peak_level_db
            .filter(|&peak_db| peak_db >= FAINT_LEVEL_DB);
        let gain_db = peak_level_db.map_or(0.0, |peak_db| {
            (TARGET_LEVEL_DB - peak_db).clamp(0.0, GAIN_DB_MAX)
        });
        10_f32.powf(gain_db / 20.0)
    }
}

fn level_db(frame: &[f32]) -> f32 {
    let power = frame.iter().map(|s| s * s).sum::<f32>() / frame.len() as f32;
    if power > 0.0 {
        (10.0 * power.log10()).max(SILENCE_DB)
    } else {
        SILENCE_DB
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_and_faint_noise_are_not_speech() {
        let mut vad = Vad::default();
        let mut seed = 1u32;
        for n in 0..500 {
            let frame = std::array::from_fn(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if n < 250 {
                    0.0
                } else {
                    (seed >> 16) as f32 / 65_536.0 * 0.001 - 0.0005
                }
            });
            assert!(!vad.push_frame(&frame).is_speech, "frame {n}");
        }
    }

    #[test]
    fn a_quiet_party_is_amplified_and_a_faint_or_loud_one_is_not() {
        let gain_db = |levels_db: &[f32]| {
            let mut vad = Vad {
                noise_floor_db: -75.0,
                ..Vad::default()
            };
            let gains: Vec<f32> = levels_db.iter().map(|&db| vad.update_gain(db)).collect();
            gains.last().map(|gain| 20.0 * gain.log10()).unwrap()
        };
        let near = |db: f32, expected: f32| (db - expected).abs() < 0.01;
        assert!(near(gain_db(&[-44.0]), GAIN_DB_MAX));
        assert!(near(gain_db(&[-40.0]), 5.0));
        assert!(near(gain_db(&[-52.0]), 0.0), "the other party's echo");
        assert!(
            near(gain_db(&[-20.0, -44.0]), 0.0),
            "a loud party's soft syllable"
        );
    }

    #[test]
    fn the_level_of_a_full_scale_square_wave_is_zero_db() {
        assert!(level_db(&[1.0, -1.0, 1.0, -1.0]).abs() < 1e-6);
        assert!((level_db(&[0.0; 4]) - SILENCE_DB).abs() < 1e-6);
    }
}
