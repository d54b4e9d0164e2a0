//! Is this 16 ms frame speech? Pure: no I/O.
//!
//! A small neural network (the `earshot` crate: 40 mel bands, three frames of context, tuned to
//! 16 kHz) gives a score; on recorded phone calls it says yes to 92–96 % of labelled speech and
//! to under 1 % of the rest. It takes music, tones and keyboards for speech too, so what it lets
//! through is judged again by what Whisper makes of it (`engine::guard`). A level gate keeps
//! line noise and far-away talk out.

use earshot::Detector;

/// Samples in one frame at 16 kHz.
pub const FRAME: usize = 256;

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
const FLOOR_RISE_DB: f32 = 3.0 * FRAME_MS as f32 / 1_000.0;

/// The noise floor is never believed to be higher than this: continuous loud sound is for the
/// network to judge.
const FLOOR_DB_MAX: f32 = -45.0;

/// The level given to digital silence.
const SILENCE_DB: f32 = -100.0;

/// What the detector thinks of one frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// Whether it is speech, hysteresis and gates applied.
    pub speech: bool,
    /// The network's score, 0 to 1.
    pub score: f32,
    /// Mean level in dB of full scale.
    pub level_db: f32,
}

/// The detector of one track; about 8 KiB.
pub struct Vad {
    network: Box<Detector>,
    speaking: bool,
    floor_db: f32,
}

impl Default for Vad {
    fn default() -> Self {
        Self {
            network: Detector::default_boxed(),
            speaking: false,
            floor_db: FLOOR_DB_MAX,
        }
    }
}

impl std::fmt::Debug for Vad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vad")
            .field("speaking", &self.speaking)
            .finish_non_exhaustive()
    }
}

impl Vad {
    /// Judges the next frame: exactly [`FRAME`] samples at 16 kHz, −1 to 1.
    pub fn judge(&mut self, frame: &[f32; FRAME]) -> Verdict {
        // A resampler overshoots loud consonants a little; the network takes no more than ±1.
        let score = self
            .network
            .predict_f32(&frame.map(|sample| sample.clamp(-1.0, 1.0)));
        let level_db = level_db(frame);
        self.floor_db = level_db
            .min(self.floor_db + FLOOR_RISE_DB)
            .min(FLOOR_DB_MAX);
        let audible = level_db >= LEVEL_DB_MIN && level_db >= self.floor_db + ABOVE_FLOOR_DB_MIN;
        let threshold = if self.speaking { SCORE_OFF } else { SCORE_ON };
        self.speaking = score >= threshold && audible;
        Verdict {
            speech: self.speaking,
            score,
            level_db,
        }
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
            assert!(!vad.judge(&frame).speech, "frame {n}");
        }
    }

    #[test]
    fn the_level_of_a_full_scale_square_wave_is_zero_db() {
        assert!(level_db(&[1.0, -1.0, 1.0, -1.0]).abs() < 1e-6);
        assert!((level_db(&[0.0; 4]) - SILENCE_DB).abs() < 1e-6);
    }
}
