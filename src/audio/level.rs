//! Measures the level of a recording's speech. Pure: no I/O.

use crate::audio::LINE_HZ;

/// Samples of one frame: 20 ms.
const FRAME: usize = LINE_HZ as usize / 50;

/// The loudest frames, in per cent of all, that are taken for speech.
const SPEECH_PERCENT: usize = 40;

/// Returns the level of the loudest frames of line audio, in dB of full scale; `None` if there is no sound.
pub fn speech_db(samples: &[i16]) -> Option<f64> {
    let power = |frame: &[i16]| {
        let squares = frame
            .iter()
            .map(|&sample| (f64::from(sample) / 32_768.0).powi(2));
        squares.sum::<f64>() / frame.len() as f64
    };
    let mut powers: Vec<f64> = samples.chunks(FRAME).map(power).collect();
    powers.sort_by(|a, b| b.total_cmp(a));
    powers.truncate((powers.len() * SPEECH_PERCENT / 100).max(1));
    let mean = powers.iter().sum::<f64>() / powers.len().max(1) as f64;
    (mean > 0.0).then(|| 10.0 * mean.log10())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_that_of_the_loudest_frames() {
        let loud = [3_277_i16; 40 * FRAME];
        let mut call = vec![0; 60 * FRAME];
        call.extend(loud);
        let db = speech_db(&call).unwrap();
        assert!((db + 20.0).abs() < 0.01, "{db}");
        assert_eq!(speech_db(&[0; 1_000]), None);
        assert_eq!(speech_db(&[]), None);
    }
}
