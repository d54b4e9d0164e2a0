//! Log-mel spectrogram of 16 kHz samples. Pure: no I/O.
//!
//! Source: <https://github.com/openai/whisper>, `whisper/audio.py`: a Hann window of 25 ms every
//! 10 ms, power, mel bands, log₁₀ with 8 decades kept below the loudest value, mapped by
//! `(x + 4) / 4`. One thing differs: the loudest value is set to [`LOUDEST`] at any level of the
//! line, so that silence has the same value in every clip.

use std::sync::Arc;

use realfft::RealFftPlanner;
use realfft::RealToComplex;
use realfft::num_complex::Complex;

/// Samples per window: 25 ms.
const WINDOW_SAMPLES: usize = 400;

/// Samples from one frame to the next: 10 ms.
pub(super) const HOP_SAMPLES: usize = 160;

/// Bins of the FFT.
const FFT_BINS: usize = WINDOW_SAMPLES / 2 + 1;

/// Value of the loudest bin of a clip. Speech on a telephone that is neither faint nor overdriven
/// reaches about this value in the original as well.
const LOUDEST: f32 = 1.5;

/// Value of silence: eight decades below the loudest value.
pub(super) const SILENCE: f32 = LOUDEST - 2.0;

/// Lower bound of a power, for the logarithm.
const POWER_MIN: f32 = 1e-10;

/// Computes spectrograms with the mel filters of a model.
pub(super) struct MelSpectrogram {
    filters: Vec<MelFilter>,
    window: Vec<f32>,
    fft: Arc<dyn RealToComplex<f32>>,
}

/// Weights of one band: the bins from `first` on, without the zeros at both ends.
struct MelFilter {
    first: usize,
    weights: Vec<f32>,
}

impl MelSpectrogram {
    /// Takes the filters of a model: one row of [`FFT_BINS`] weights per band. `None` if they have
    /// another shape.
    pub(super) fn new(filters: &[f32], bins: usize) -> Option<Self> {
        if bins != FFT_BINS || !filters.len().is_multiple_of(FFT_BINS) {
            return None;
        }
        let filter = |row: &[f32]| {
            let first = row.iter().position(|&weight| weight != 0.0).unwrap_or(0);
            let end = row.iter().rposition(|&weight| weight != 0.0);
            MelFilter {
                first,
                weights: row[first..end.map_or(first, |last| last + 1)].to_vec(),
            }
        };
        let hann = |n: usize| {
            let turn = std::f32::consts::TAU * n as f32 / WINDOW_SAMPLES as f32;
            0.5 - 0.5 * turn.cos()
        };
        Some(Self {
            filters: filters.chunks_exact(FFT_BINS).map(filter).collect(),
            window: (0..WINDOW_SAMPLES).map(hann).collect(),
            fft: RealFftPlanner::new().plan_fft_forward(WINDOW_SAMPLES),
        })
    }

    /// Returns `frames × bands` values; frames after the last sample are silence.
    pub(super) fn compute_log_mel(&self, samples: &[f32], frames: usize) -> Vec<f32> {
        let mut windowed = self.fft.make_input_vec();
        let mut spectrum = self.fft.make_output_vec();
        let mut scratch = self.fft.make_scratch_vec();
        let mut out = Vec::with_capacity(frames * self.filters.len());
        for frame in 0..frames {
            let from = (frame * HOP_SAMPLES) as isize - (WINDOW_SAMPLES / 2) as isize;
            if from >= samples.len() as isize {
                out.resize(out.len() + self.filters.len(), POWER_MIN.log10());
                continue;
            }
            for (n, (to, window)) in windowed.iter_mut().zip(&self.window).enumerate() {
                // Before the first sample, the signal is mirrored.
                let at = (from + n as isize).unsigned_abs();
                *to = window * samples.get(at).copied().unwrap_or(0.0);
            }
            self.fft
                .process_with_scratch(&mut windowed, &mut spectrum, &mut scratch)
                .expect("the buffers are the transform's own");
            let power: Vec<f32> = spectrum.iter().map(Complex::norm_sqr).collect();
            out.extend(self.filters.iter().map(|filter| {
                let power = power[filter.first..].iter().zip(&filter.weights);
                let sum: f32 = power.map(|(power, weight)| power * weight).sum();
                sum.max(POWER_MIN).log10()
            }));
        }
        let loudest = out.iter().copied().fold(POWER_MIN.log10(), f32::max);
        for value in &mut out {
            *value = ((*value - loudest) / 4.0 + LOUDEST).max(SILENCE);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One band for each 500 Hz.
    fn mel() -> MelSpectrogram {
        let row = |filter: usize| {
            (0..FFT_BINS).map(move |bin| if (bin * 40) / 500 == filter { 1.0 } else { 0.0 })
        };
        let filters: Vec<f32> = (0..16).flat_map(row).collect();
        MelSpectrogram::new(&filters, FFT_BINS).unwrap()
    }

    fn tone(hz: f32, level: f32, samples: usize) -> Vec<f32> {
        let turn = |n: usize| std::f32::consts::TAU * hz * n as f32 / 16_000.0;
        (0..samples).map(|n| level * turn(n).sin()).collect()
    }

    #[test]
    fn a_tone_is_in_its_band_at_the_same_height_whatever_its_level() {
        let (loud, faint) = (tone(750.0, 0.5, 8_000), tone(750.0, 0.005, 8_000));
        let of = |samples: &[f32]| mel().compute_log_mel(samples, 50);
        for row in of(&loud).chunks_exact(16) {
            assert!(row.iter().all(|&value| value <= row[1]), "{row:?}");
        }
        for (loud, faint) in of(&loud).iter().zip(of(&faint)) {
            assert!((loud - faint).abs() < 1e-3, "{loud} {faint}");
        }
    }

    #[test]
    fn what_follows_a_clip_is_silence() {
        let compute = mel().compute_log_mel(&tone(750.0, 0.5, 1_600), 20);
        let rows: Vec<&[f32]> = compute.chunks_exact(16).collect();
        assert_eq!(rows.len(), 20);
        assert!(rows[5][1] > 1.0);
        assert!(rows[12..].iter().all(|row| *row == [SILENCE; 16]));
    }

    #[test]
    fn no_sound_at_all_has_no_loudest_value_to_go_wrong_by() {
        let compute = mel().compute_log_mel(&[0.0; 1_600], 12);
        assert!(compute.iter().all(|value| value.is_finite()));
    }

    #[test]
    fn filters_of_another_transform_are_refused() {
        assert!(MelSpectrogram::new(&[0.0; 400], 200).is_none());
        assert!(MelSpectrogram::new(&[0.0; 200], FFT_BINS).is_none());
    }
}
