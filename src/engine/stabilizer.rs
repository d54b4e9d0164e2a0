//! Turns successive hypotheses of an utterance into stable and unstable text. Pure: no I/O.
//!
//! Local agreement (Liu et al. 2020, arXiv:2005.11185; Macháček et al. 2023, arXiv:2307.14743): words that
//! two successive hypotheses agree on with enough confidence become stable, except those near the end of the
//! audio, which further audio may change. Stable text is never taken back: later hypotheses, including the
//! final one, only extend it. So a word that becomes stable too early is a lasting error, and a word that
//! becomes stable late costs a listener only its paler colour.

use crate::engine::number_format::parse_digit;
use crate::engine::recognizer::RecognizedWord;
use crate::engine::recognizer::join_words;

/// A word becomes stable only when it ends at least this long before the end of its hypothesis's audio.
/// Longer makes words stable later; shorter makes words stable that the final pass would have corrected: at
/// 900 ms they were a tenth of all errors of the live path.
pub(super) const UNSTABLE_TAIL_MS: u32 = 2_200;

/// A partial's word below this confidence does not become stable, nor do the words after it: two partials
/// cover nearly the same audio and agree on the same mistakes.
const STABLE_CONFIDENCE_MIN: f32 = 0.7;

/// A partial's word that ends this close to the end of the audio may be half of another word.
const HALF_WORD_MS: u32 = 300;

/// A partial's word below this confidence is doubtful and held back with all words after it, unless the
/// previous hypothesis had it, too. This keeps the number of words that are shown and then replaced low: 0.06
/// for each stable word on Harvard sentences and 0.10 on bank turns, against 0.38 and 0.24 if all are shown.
const SHOWN_CONFIDENCE_MIN: f32 = 0.5;

/// The stable and the unstable words of one utterance.
#[derive(Debug, Default)]
pub struct Stabilizer {
    stable: Vec<RecognizedWord>,
    previous: Vec<RecognizedWord>,
    shown: (String, String),
}

impl Stabilizer {
    /// Returns the words of a partial that are worth showing while the speaker continues: those before the
    /// first doubtful word, and at least one. Words that the previous hypothesis had, too, are not doubtful:
    /// holding them back would take back shown text.
    pub fn confident_prefix(
        &self,
        mut words: Vec<RecognizedWord>,
        speech_end_ms: u32,
    ) -> Vec<RecognizedWord> {
        let is_doubtful = |word: &RecognizedWord| {
            word.end_ms + HALF_WORD_MS > speech_end_ms || word.confidence < SHOWN_CONFIDENCE_MIN
        };
        let agreed = common_prefix_length(&self.previous, &words).max(1);
        let rest = words.iter().skip(agreed);
        let sure = rest.take_while(|word| !is_doubtful(word)).count();
        words.truncate(agreed + sure);
        words
    }

    /// Takes the next hypothesis over the first `speech_end_ms` of the utterance. Returns the new `(stable,
    /// unstable)` texts, or `None` if they did not change.
    pub fn push(
        &mut self,
        words: Vec<RecognizedWord>,
        speech_end_ms: u32,
    ) -> Option<(String, String)> {
        let next = words_after_stable(&self.stable, &words);
        let agreed = common_prefix_length(words_after_stable(&self.stable, &self.previous), next);
        let newly_stable: Vec<RecognizedWord> = next[..agreed]
            .iter()
            .take_while(|word| word.end_ms + UNSTABLE_TAIL_MS <= speech_end_ms)
            .take_while(|word| word.confidence >= STABLE_CONFIDENCE_MIN)
            .cloned()
            .collect();
        let unstable = join_words(next[newly_stable.len()..].iter().map(|w| w.text.as_str()));
        self.stable.extend(newly_stable);
        self.previous = words;
        let shown = (self.stable_text(), unstable);
        if shown == self.shown || (shown.0.is_empty() && shown.1.is_empty()) {
            return None;
        }
        self.shown.clone_from(&shown);
        Some(shown)
    }

    /// Returns the words of the final: the stable words, then the rest of the final hypothesis. Where the
    /// final hypothesis repeats the stable words, it also supplies their times and confidence: it covers more
    /// audio.
    pub fn finish(self, words: &[RecognizedWord]) -> Vec<RecognizedWord> {
        let rest = words_after_stable(&self.stable, words);
        let again = &words[..words.len() - rest.len()];
        let mut all = self.stable;
        if again.len() == all.len() {
            for (word, heard) in all.iter_mut().zip(again) {
                let text = std::mem::take(&mut word.text);
                *word = RecognizedWord { text, ..*heard };
            }
        }
        all.extend_from_slice(rest);
        all
    }

    /// Returns the words of the final where there is no final hypothesis: those that were shown last.
    pub fn finish_as_shown(mut self) -> Vec<RecognizedWord> {
        let shown = std::mem::take(&mut self.previous);
        self.finish(&shown)
    }

    fn stable_text(&self) -> String {
        join_words(self.stable.iter().map(|w| w.text.as_str()))
    }
}

/// Returns how many leading words two hypotheses share, ignoring case and punctuation.
fn common_prefix_length(a: &[RecognizedWord], b: &[RecognizedWord]) -> usize {
    a.iter()
        .zip(b)
        .take_while(|(a, b)| is_same_word(&a.text, &b.text))
        .count()
}

/// Whether two words are the same, possibly in another notation: "four" is "4".
fn is_same_word(a: &str, b: &str) -> bool {
    normalized_letters(a).eq(normalized_letters(b))
        || parse_digit(a).is_some_and(|digit_a| parse_digit(b) == Some(digit_a))
}

fn normalized_letters(word: &str) -> impl Iterator<Item = char> {
    word.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
}

/// Returns the words after the stable ones: the tail that is left when the stable words are aligned with a
/// prefix of `words` with the fewest edits. Of several such prefixes, the one that ends nearest in time to
/// the end of the stable words is used: a last word that is now recognised differently ("book", "book's") is
/// not repeated, and a new one is not swallowed.
fn words_after_stable<'a>(
    stable: &[RecognizedWord],
    words: &'a [RecognizedWord],
) -> &'a [RecognizedWord] {
    // The last row of an edit-distance table: the cost of turning all of `stable` into the first
    // j of `words`.
    let mut costs: Vec<usize> = (0..=words.len()).collect();
    for (i, word) in stable.iter().enumerate() {
        let mut diagonal = costs[0];
        costs[0] = i + 1;
        for j in 1..=words.len() {
            let replaced = diagonal + usize::from(!is_same_word(&word.text, &words[j - 1].text));
            diagonal = costs[j];
            costs[j] = replaced.min(costs[j] + 1).min(costs[j - 1] + 1);
        }
    }
    let end_ms = |words: &[RecognizedWord]| words.last().map_or(0, |word| word.end_ms);
    let stable_ms = end_ms(stable);
    let distance = |j: usize| (costs[j], end_ms(&words[..j]).abs_diff(stable_ms));
    let place = (0..=words.len()).min_by_key(|&j| distance(j));
    &words[place.unwrap_or(0)..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(text: &str) -> Vec<RecognizedWord> {
        text.split_whitespace()
            .zip(0u32..)
            .map(|(text, n)| RecognizedWord {
                text: text.to_owned(),
                start_ms: n * 300,
                end_ms: n * 300 + 300,
                confidence: 0.9,
            })
            .collect()
    }

    fn shown(stable: &str, unstable: &str) -> (String, String) {
        (stable.to_owned(), unstable.to_owned())
    }

    #[test]
    fn a_partial_is_shown_up_to_its_first_uncertain_word() {
        let stabilizer = Stabilizer::default();
        let worth = |partial: Vec<RecognizedWord>, speech_end_ms| {
            let words = stabilizer.confident_prefix(partial, speech_end_ms);
            join_words(words.iter().map(|word| word.text.as_str()))
        };
        let partial = words("we go on and on");
        assert_eq!(worth(partial.clone(), 1_500), "we go on and", "half a word");
        assert_eq!(worth(partial.clone(), 1_800), "we go on and on");
        let mut guess = partial;
        guess[2].confidence = 0.1;
        assert_eq!(worth(guess, 1_800), "we go");
        assert_eq!(worth(words("we"), 300), "we", "better than nothing");
    }

    #[test]
    fn doubt_takes_no_word_back_that_is_heard_again() {
        let mut stabilizer = Stabilizer::default();
        stabilizer.push(words("we go on"), 1_200);
        let mut partial = words("we go on and on");
        partial[1].confidence = 0.1;
        let worth = stabilizer.confident_prefix(partial, 1_800);
        assert_eq!(worth.len(), 5);
        let mut other = words("we went on and on");
        other[1].confidence = 0.1;
        assert_eq!(stabilizer.confident_prefix(other, 1_800), words("we"));
    }

    #[test]
    fn words_become_stable_when_two_hypotheses_agree_and_the_speaker_is_past_them() {
        let mut stabilizer = Stabilizer::default();
        assert_eq!(
            stabilizer.push(words("the birch"), 2_000),
            Some(shown("", "the birch"))
        );
        assert_eq!(
            stabilizer.push(words("The birch canoe slid"), 2_800),
            Some(shown("The birch", "canoe slid"))
        );
        assert_eq!(
            stabilizer.push(words("The birch canoe slid on the"), 3_400),
            Some(shown("The birch canoe slid", "on the"))
        );
    }

    #[test]
    fn an_uncertain_word_does_not_become_stable_nor_what_follows_it() {
        let mut unsure = words("the birch canoe slid");
        unsure[1].confidence = 0.4;
        let mut stabilizer = Stabilizer::default();
        stabilizer.push(unsure.clone(), 10_000);
        let again = stabilizer.push(unsure, 10_000);
        assert_eq!(again, Some(shown("the", "birch canoe slid")));
        let last = stabilizer.finish(&words("the perch canoe slid"));
        assert_eq!(last[1].text, "perch");
    }

    #[test]
    fn a_stable_word_is_never_taken_back_even_by_the_final() {
        let mut stabilizer = Stabilizer::default();
        stabilizer.push(words("a birch canoe"), 3_000);
        assert_eq!(
            stabilizer.push(words("a birch canoe slid"), 3_300),
            Some(shown("a birch canoe", "slid"))
        );
        let last = stabilizer.finish(&words("the birch canoe slid on"));
        assert_eq!(
            join_words(last.iter().map(|w| w.text.as_str())),
            "a birch canoe slid on"
        );
    }

    #[test]
    fn the_final_hypothesis_gives_a_stable_word_its_times() {
        let mut stabilizer = Stabilizer::default();
        stabilizer.push(words("a birch"), 3_000);
        stabilizer.push(words("a birch"), 3_300);
        let mut again = words("A birch canoe");
        again[1].start_ms = 310;
        let last = stabilizer.finish(&again);
        assert_eq!((last[0].text.as_str(), last[1].start_ms), ("a", 310));
        assert_eq!(last.len(), 3);
    }

    #[test]
    fn the_same_words_are_not_shown_twice() {
        let mut stabilizer = Stabilizer::default();
        assert!(stabilizer.push(words("yes"), 400).is_some());
        assert!(stabilizer.push(words("yes"), 500).is_none());
        assert!(Stabilizer::default().push(vec![], 500).is_none());
    }

    proptest! {
        #[test]
        fn the_stable_text_only_grows_and_begins_the_final(
            hypotheses in prop::collection::vec("([abc] ){0,8}", 1..8)
        ) {
            let mut stabilizer = Stabilizer::default();
            let mut before = String::new();
            for hypothesis in &hypotheses {
                if let Some((stable, _)) = stabilizer.push(words(hypothesis), 10_000) {
                    prop_assert!(stable.starts_with(&before), "{stable:?} does not begin with {before:?}");
                    before = stable;
                }
            }
            let last = hypotheses.last().expect("at least one");
            let text = join_words(stabilizer.finish(&words(last)).iter().map(|w| w.text.as_str()));
            prop_assert!(text.starts_with(&before));
        }
    }
}
