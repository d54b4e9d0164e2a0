//! Word error rate, and false words in recordings without speech. Pure: no I/O, no state except sums.
//!
//! WER = (substitutions + deletions + insertions) / words of the reference, summed over files before dividing
//! (micro average), after [`normalise`] on both sides.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use crate::eval::normalise;
use crate::eval::symbols::extract_symbols;

/// Differences between a hypothesis and its reference, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WordErrors {
    /// Words that agree.
    pub hits: u64,
    /// Words that differ from the aligned word of the reference.
    pub substitutions: u64,
    /// Words of the reference without a counterpart in the hypothesis.
    pub deletions: u64,
    /// Words of the hypothesis without a counterpart in the reference.
    pub insertions: u64,
}

impl WordErrors {
    /// Returns the number of words in the reference.
    pub fn reference_words(self) -> u64 {
        self.hits + self.substitutions + self.deletions
    }

    /// Returns the number of words in the hypothesis.
    #[cfg(test)]
    pub fn hypothesis_words(self) -> u64 {
        self.hits + self.substitutions + self.insertions
    }

    /// Returns the edit distance.
    pub fn total(self) -> u64 {
        self.substitutions + self.deletions + self.insertions
    }

    /// Returns the word error rate as a fraction: 0 is perfect, and there is no upper bound. `None` for an
    /// empty reference.
    pub fn rate(self) -> Option<f64> {
        let words = self.reference_words();
        (words > 0).then(|| self.total() as f64 / words as f64)
    }
}

impl AddAssign for WordErrors {
    fn add_assign(&mut self, more: Self) {
        self.hits += more.hits;
        self.substitutions += more.substitutions;
        self.deletions += more.deletions;
        self.insertions += more.insertions;
    }
}

/// Counts the errors of one best alignment (Levenshtein). Among equally good alignments, the choice is always
/// the same, and the one that the Python package `jiwer` reports for texts of common length: equal beginnings
/// and ends first; then, read backwards, a deletion before an insertion before a pair.
///
/// Memory grows with the length of the hypothesis, time with the product of both lengths.
pub fn count_word_errors<T: AsRef<str>>(reference: &[T], hypothesis: &[T]) -> WordErrors {
    let equal = |(a, b): &(&T, &T)| a.as_ref() == b.as_ref();
    let head = reference.iter().zip(hypothesis).take_while(equal).count();
    let (reference, hypothesis) = (&reference[head..], &hypothesis[head..]);
    let tail = reference
        .iter()
        .rev()
        .zip(hypothesis.iter().rev())
        .take_while(equal)
        .count();
    let reference = &reference[..reference.len() - tail];
    let hypothesis = &hypothesis[..hypothesis.len() - tail];

    let mut middle = middle_errors(reference, hypothesis);
    middle.hits += (head + tail) as u64;
    middle
}

/// Counts the errors with one row of the distance table at a time; each cell holds the errors of the path to
/// it.
fn middle_errors<T: AsRef<str>>(reference: &[T], hypothesis: &[T]) -> WordErrors {
    let mut above: Vec<WordErrors> = (0..=hypothesis.len() as u64)
        .map(|insertions| WordErrors {
            insertions,
            ..WordErrors::default()
        })
        .collect();
    for (reference_word, deletions) in reference.iter().zip(1..) {
        let mut left_above = std::mem::replace(
            &mut above[0],
            WordErrors {
                deletions,
                ..WordErrors::default()
            },
        );
        for (column, hypothesis_word) in (1..).zip(hypothesis) {
            let up = above[column];
            let left = above[column - 1];
            above[column] = best_edit(
                left_above,
                up,
                left,
                reference_word.as_ref() == hypothesis_word.as_ref(),
            );
            left_above = up;
        }
    }
    above.last().copied().unwrap_or_default()
}

/// Returns the errors of the best path into a cell from its neighbours.
fn best_edit(diagonal: WordErrors, up: WordErrors, left: WordErrors, equal: bool) -> WordErrors {
    let pair = diagonal.total() + u64::from(!equal);
    let best = pair.min(up.total() + 1).min(left.total() + 1);
    if up.total() + 1 == best {
        WordErrors {
            deletions: up.deletions + 1,
            ..up
        }
    } else if left.total() + 1 == best && left.total() < diagonal.total() {
        WordErrors {
            insertions: left.insertions + 1,
            ..left
        }
    } else if equal {
        WordErrors {
            hits: diagonal.hits + 1,
            ..diagonal
        }
    } else {
        WordErrors {
            substitutions: diagonal.substitutions + 1,
            ..diagonal
        }
    }
}

/// Score of a set of files.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WerScore {
    /// Number of files with words in their reference.
    pub speech_files: u64,
    /// Total length of these files.
    pub speech_seconds: f64,
    /// Word errors of these files.
    pub errors: WordErrors,
    /// Errors of these files in digits, spelled letters and amounts.
    pub symbols: WordErrors,
    /// Number of files without words in their reference.
    pub silent_files: u64,
    /// Total length of the files without words.
    pub silent_seconds: f64,
    /// Words that were recognised in the files without words.
    pub false_words: u64,
}

impl WerScore {
    /// Adds one file: its reference as it was written, the hypothesis, and its length in seconds. A reference
    /// without words expects silence.
    pub fn add_file(&mut self, reference: &str, hypothesis: &str, seconds: f64) {
        let [reference_symbols, hypothesis_symbols] = [reference, hypothesis].map(extract_symbols);
        let reference = normalise::normalise_english(reference);
        let hypothesis = normalise::normalise_english(hypothesis);
        let reference: Vec<&str> = reference.split(' ').filter(|w| !w.is_empty()).collect();
        let hypothesis: Vec<&str> = hypothesis.split(' ').filter(|w| !w.is_empty()).collect();
        if reference.is_empty() {
            self.silent_files += 1;
            self.silent_seconds += seconds;
            self.false_words += hypothesis.len() as u64;
        } else {
            self.speech_files += 1;
            self.speech_seconds += seconds;
            self.errors += count_word_errors(&reference, &hypothesis);
            self.symbols += count_word_errors(&reference_symbols, &hypothesis_symbols);
        }
    }

    /// Returns the word error rate as a fraction; `None` if the references have no words.
    pub fn wer(&self) -> Option<f64> {
        self.errors.rate()
    }

    /// Returns the words that were recognised per minute of files without words; `None` if there are no such
    /// files.
    pub fn false_words_per_minute(&self) -> Option<f64> {
        let minutes = self.silent_seconds / 60.0;
        (minutes > 0.0).then(|| self.false_words as f64 / minutes)
    }
}

impl AddAssign for WerScore {
    fn add_assign(&mut self, more: Self) {
        self.speech_files += more.speech_files;
        self.speech_seconds += more.speech_seconds;
        self.errors += more.errors;
        self.symbols += more.symbols;
        self.silent_files += more.silent_files;
        self.silent_seconds += more.silent_seconds;
        self.false_words += more.false_words;
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn of(reference: &str, hypothesis: &str) -> WordErrors {
        let reference: Vec<&str> = reference.split_whitespace().collect();
        let hypothesis: Vec<&str> = hypothesis.split_whitespace().collect();
        count_word_errors(&reference, &hypothesis)
    }

    fn word_errors(hits: u64, substitutions: u64, deletions: u64, insertions: u64) -> WordErrors {
        WordErrors {
            hits,
            substitutions,
            deletions,
            insertions,
        }
    }

    #[test]
    fn each_kind_of_error_is_counted_as_itself() {
        assert_eq!(of("the cat sat", "the cat sat"), word_errors(3, 0, 0, 0));
        assert_eq!(of("the cat sat", "the bat sat"), word_errors(2, 1, 0, 0));
        assert_eq!(of("the cat sat", "the sat"), word_errors(2, 0, 1, 0));
        assert_eq!(
            of("the cat sat", "the big cat sat down"),
            word_errors(3, 0, 0, 2)
        );
        assert_eq!(of("", "thank you"), word_errors(0, 0, 0, 2));
        assert_eq!(of("thank you", ""), word_errors(0, 0, 2, 0));
        assert_eq!(of("", ""), WordErrors::default());
    }

    #[test]
    fn ties_fall_as_in_jiwer() {
        // Figures from jiwer 4.0.0; each pair has more than one best alignment.
        for (reference, hypothesis, expected) in [
            ("a b", "b c", word_errors(0, 2, 0, 0)),
            ("a b c", "b c a", word_errors(2, 0, 1, 1)),
            ("a b a b", "b a b a", word_errors(3, 0, 1, 1)),
            ("c a b", "a b d", word_errors(2, 0, 1, 1)),
            ("a b c d", "d c b a", word_errors(1, 2, 1, 1)),
            ("x a b y", "a y b", word_errors(1, 2, 1, 0)),
        ] {
            assert_eq!(
                of(reference, hypothesis),
                expected,
                "{reference:?} and {hypothesis:?}"
            );
        }
    }

    #[test]
    fn a_rate_is_summed_over_files_before_it_is_divided() {
        let mut score = WerScore::default();
        score.add_file(
            "One two three four five six seven eight nine.",
            "123456789",
            3.0,
        );
        score.add_file("Hello, Mr. Smith!", "hello mister", 1.0);
        score.add_file("yes", "no", 1.0);
        assert_eq!(score.errors, word_errors(3, 1, 1, 0));
        assert_eq!(score.wer(), Some(2.0 / 5.0));
        assert_eq!(score.false_words_per_minute(), None);
    }

    #[test]
    fn words_in_files_without_words_are_false() {
        let mut score = WerScore::default();
        score.add_file("", "Thank you.", 30.0);
        score.add_file("[music] uh", "", 90.0);
        assert_eq!(
            (score.silent_files, score.speech_files, score.false_words),
            (2, 0, 2)
        );
        assert_eq!(score.false_words_per_minute(), Some(1.0));
        assert_eq!(score.wer(), None);
    }

    #[test]
    fn a_score_survives_json() {
        let mut score = WerScore::default();
        score.add_file("a b c", "a c d", 2.5);
        let json = serde_json::to_string(&score).unwrap();
        assert!(json.contains("\"speechSeconds\":2.5"), "{json}");
        assert_eq!(serde_json::from_str::<WerScore>(&json).unwrap(), score);
    }

    fn sentence() -> impl Strategy<Value = Vec<&'static str>> {
        vec(prop::sample::select(vec!["a", "b", "c", "d"]), 0..12)
    }

    proptest! {
        #[test]
        fn nothing_is_wrong_with_itself(a in sentence()) {
            prop_assert_eq!(count_word_errors(&a, &a), word_errors(a.len() as u64, 0, 0, 0));
        }

        #[test]
        fn counts_add_up_to_both_lengths(a in sentence(), b in sentence()) {
            let e = count_word_errors(&a, &b);
            prop_assert_eq!(e.reference_words(), a.len() as u64);
            prop_assert_eq!(e.hypothesis_words(), b.len() as u64);
        }

        #[test]
        fn the_distance_is_a_distance(a in sentence(), b in sentence(), c in sentence()) {
            let d = |x: &[&str], y: &[&str]| count_word_errors(x, y).total();
            prop_assert_eq!(d(&a, &b), d(&b, &a));
            prop_assert!(d(&a, &c) <= d(&a, &b) + d(&b, &c));
            prop_assert!(d(&a, &b) >= a.len().abs_diff(b.len()) as u64);
        }

        #[test]
        fn the_distance_is_the_least(a in sentence(), b in sentence()) {
            prop_assert_eq!(count_word_errors(&a, &b).total(), plain_distance(&a, &b));
        }
    }

    /// Computes the whole distance table, as in a textbook.
    fn plain_distance(a: &[&str], b: &[&str]) -> u64 {
        let mut table = vec![vec![0_u64; b.len() + 1]; a.len() + 1];
        for i in 0..=a.len() {
            for j in 0..=b.len() {
                table[i][j] = if i == 0 || j == 0 {
                    (i + j) as u64
                } else {
                    let pair = table[i - 1][j - 1] + u64::from(a[i - 1] != b[j - 1]);
                    pair.min(table[i - 1][j] + 1).min(table[i][j - 1] + 1)
                };
            }
        }
        table[a.len()][b.len()]
    }
}
