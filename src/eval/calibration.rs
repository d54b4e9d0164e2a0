//! Measures the calibration of confidences: of the words with a confidence of 70 %, seven in ten should be
//! right. Pure: no I/O.

use serde::Serialize;

use crate::eval::normalise;

/// Number of bins of equal width between 0 and 1.
const BIN_COUNT: usize = 10;

/// Words by confidence, and how many of them were right.
#[derive(Debug, Clone, Default)]
pub struct ConfidenceCalibration {
    bins: [CalibrationBin; BIN_COUNT],
}

/// Words of one bin.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct CalibrationBin {
    /// Number of words.
    pub words: u64,
    /// Number of words that are in the reference.
    pub right: u64,
    /// Sum of the words' confidences.
    pub confidence: f64,
}

impl ConfidenceCalibration {
    /// Adds one file: its reference, and each recognised word with its confidence.
    pub fn add_file<'a>(
        &mut self,
        reference: &str,
        hypothesis: impl Iterator<Item = (&'a str, f32)>,
    ) {
        let reference = normalise::normalise_english(reference);
        let reference: Vec<&str> = reference.split_whitespace().collect();
        let mut words = Vec::new();
        let mut confidences = Vec::new();
        for (text, confidence) in hypothesis {
            for word in normalise::normalise_english(text).split_whitespace() {
                words.push(word.to_owned());
                confidences.push(confidence);
            }
        }
        for (right, confidence) in match_words(&reference, &words).into_iter().zip(confidences) {
            let bin = &mut self.bins[((confidence * BIN_COUNT as f32) as usize).min(BIN_COUNT - 1)];
            bin.words += 1;
            bin.right += u64::from(right);
            bin.confidence += f64::from(confidence);
        }
    }

    /// Returns the bins with words, each with its lower bound of confidence.
    pub fn bins(&self) -> impl Iterator<Item = (f64, CalibrationBin)> {
        let from = (0..).map(|n| f64::from(n) / BIN_COUNT as f64);
        from.zip(self.bins).filter(|(_, bin)| bin.words > 0)
    }

    /// Returns the expected calibration error: the distance between confidence and share of right words,
    /// averaged over all words (Guo et al. 2017, arXiv:1706.04599). `None` without words.
    pub fn expected_error(&self) -> Option<f64> {
        let words: u64 = self.bins.iter().map(|bin| bin.words).sum();
        let apart = |bin: &CalibrationBin| (bin.confidence - bin.right as f64).abs();
        (words > 0).then(|| self.bins.iter().map(apart).sum::<f64>() / words as f64)
    }
}

/// Returns for each recognised word whether it is in the reference, in the order of the reference (a longest
/// common subsequence).
fn match_words(reference: &[&str], hypothesis: &[String]) -> Vec<bool> {
    let mut longest = vec![vec![0_u32; hypothesis.len() + 1]; reference.len() + 1];
    for (n, reference) in reference.iter().enumerate().rev() {
        for (m, hypothesis) in hypothesis.iter().enumerate().rev() {
            longest[n][m] = if reference == hypothesis {
                longest[n + 1][m + 1] + 1
            } else {
                longest[n + 1][m].max(longest[n][m + 1])
            };
        }
    }
    let mut hits = vec![false; hypothesis.len()];
    let (mut n, mut m) = (0, 0);
    while n < reference.len() && m < hypothesis.len() {
        if reference[n] == hypothesis[m] {
            hits[m] = true;
            (n, m) = (n + 1, m + 1);
        } else if longest[n + 1][m] >= longest[n][m + 1] {
            n += 1;
        } else {
            m += 1;
        }
    }
    hits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(reference: &str, hypothesis: &[(&'static str, f32)]) -> ConfidenceCalibration {
        let mut calibration = ConfidenceCalibration::default();
        calibration.add_file(reference, hypothesis.iter().copied());
        calibration
    }

    #[test]
    fn a_word_is_right_where_it_was_said() {
        let hypothesis = [("The", 0.95), ("dog,", 0.35), ("sat", 0.92), ("cat.", 0.31)];
        let bins: Vec<_> = of("the cat sat", &hypothesis).bins().collect();
        let counts: Vec<_> = bins.iter().map(|(_, bin)| (bin.words, bin.right)).collect();
        assert_eq!(counts, [(2, 0), (2, 2)]);
        assert!((bins[0].0 - 0.3).abs() < 1e-9 && (bins[1].0 - 0.9).abs() < 1e-9);
    }

    #[test]
    fn confidence_equal_to_accuracy_has_no_error() {
        let half = of("cat dog", &[("cat", 0.5), ("cow", 0.5)]);
        assert!(half.expected_error().unwrap() < 1e-9);
        let overconfident = of("cat dog", &[("cat", 1.0), ("cow", 1.0)]);
        assert!((overconfident.expected_error().unwrap() - 0.5).abs() < 1e-9);
        let underconfident = of("cat dog", &[("cat", 0.0), ("dog", 0.0)]);
        assert!((underconfident.expected_error().unwrap() - 1.0).abs() < 1e-9);
        assert_eq!(ConfidenceCalibration::default().expected_error(), None);
    }

    #[test]
    fn words_that_the_normaliser_splits_share_their_confidence() {
        let bins: Vec<_> = of("i am here", &[("I'm", 0.8), ("here", 0.8)])
            .bins()
            .collect();
        assert_eq!((bins[0].1.words, bins[0].1.right), (3, 3));
    }
}
