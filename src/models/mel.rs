//! The mel filterbank that Whisper was trained with: triangles on Slaney's mel scale, each of
//! unit area, over the bins of a 400-point transform at 16 kHz. Pure: no I/O.
//!
//! Source: `librosa.filters.mel(sr=16000, n_fft=400, n_mels=…)`, as Whisper's assets were made
//! (<https://github.com/openai/whisper>, `whisper/audio.py`); the scale is that of M. Slaney,
//! Auditory Toolbox, 1998.

/// Number of bins of the transform: 0 to 8 kHz in steps of 40 Hz.
pub(super) const BINS: usize = 201;

const BIN_HZ: f64 = 40.0;
const MAX_HZ: f64 = 8_000.0;

/// The frequency below which the scale is linear, and above which it is logarithmic.
const MIN_LOG_HZ: f64 = 1_000.0;
const HZ_PER_MEL: f64 = 200.0 / 3.0;
const MIN_LOG_MEL: f64 = MIN_LOG_HZ / HZ_PER_MEL;

/// Returns the filters, `bands` rows of [`BINS`] weights, bit-identical with Whisper's own, which are
/// products of 32-bit triangles and 64-bit areas.
pub(super) fn filterbank(bands: usize) -> Vec<f32> {
    let step = mel(MAX_HZ) / (bands + 1) as f64;
    let mut edges: Vec<f64> = (0..=bands).map(|i| hz(step * i as f64)).collect();
    edges.push(MAX_HZ);
    let mut weights = Vec::with_capacity(bands * BINS);
    for (i, &low) in edges.iter().take(bands).enumerate() {
        let (peak, high) = (edges[i + 1], edges[i + 2]);
        let area = 2.0 / (high - low);
        weights.extend((0..BINS).map(|bin| {
            let at = BIN_HZ * bin as f64;
            let rising = (at - low) / (peak - low);
            let falling = (high - at) / (high - peak);
            let triangle = rising.min(falling).max(0.0) as f32;
            (f64::from(triangle) * area) as f32
        }));
    }
    weights
}

/// Returns the growth of the frequency, as a natural logarithm, for each mel above [`MIN_LOG_HZ`].
fn log_per_mel() -> f64 {
    6.4_f64.ln() / 27.0
}

fn mel(hz: f64) -> f64 {
    if hz < MIN_LOG_HZ {
        hz / HZ_PER_MEL
    } else {
        MIN_LOG_MEL + (hz / MIN_LOG_HZ).ln() / log_per_mel()
    }
}

fn hz(mel: f64) -> f64 {
    if mel < MIN_LOG_MEL {
        mel * HZ_PER_MEL
    } else {
        MIN_LOG_HZ * ((mel - MIN_LOG_MEL) * log_per_mel()).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values from `mel_filters.npz` of openai-whisper 20250625: band, bin, weight.
    fn check(bands: usize, total: f64, own: &[(usize, usize, f64)]) {
        let weights = filterbank(bands);
        assert_eq!(weights.len(), bands * BINS);
        let sum: f64 = weights.iter().map(|&w| f64::from(w)).sum();
        assert!((sum - total).abs() < 1e-9, "{sum}");
        for &(band, bin, expected) in own {
            let got = f64::from(weights[band * BINS + bin]);
            assert!(
                (got - expected).abs() < 1e-10,
                "band {band} bin {bin}: {got}"
            );
        }
    }

    #[test]
    fn eighty_bands_are_those_of_whisper() {
        check(
            80,
            1.999_024_092_387_117,
            &[
                (0, 0, 0.0),
                (0, 1, 0.024_862_594_902_515_41),
                (1, 1, 0.001_990_821_911_022_067),
                (40, 43, 0.014_735_566_452_145_576),
                (79, 194, 0.002_692_554_146_051_407),
                (79, 199, 0.000_448_759_004_939_347_5),
                (79, 200, 0.0),
            ],
        );
    }

    #[test]
    fn a_hundred_and_twenty_eight_bands_are_those_of_whisper_large_v3() {
        check(
            128,
            3.190_985_540_946_343_3,
            &[
                (0, 1, 0.012_373_986_653_983_593),
                (1, 1, 0.030_392_564_833_164_215),
                (64, 43, 0.018_091_518_431_901_932),
                (127, 194, 0.003_900_125_157_088_041_3),
                (127, 199, 0.001_114_280_195_906_758_3),
            ],
        );
    }
}
