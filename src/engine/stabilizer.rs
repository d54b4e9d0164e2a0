//! Hypothesis after hypothesis → words that stay and words that may change. Pure: no I/O.
//!
//! Local agreement (Liu et al. 2020, arXiv:2005.11185; Macháček et al. 2023, arXiv:2307.14743):
//! words that two successive hypotheses agree on and are sure of are settled, except those near the
//! end of the audio, which what comes next may still turn into others. What is settled is never
//! taken back: a later hypothesis, the final one too, only goes on from there. So a word that settles
//! too early is an error that stays, and one that settles late costs a listener nothing but its paler
//! colour.

use crate::engine::recognizer::HeardWord;
use crate::engine::recognizer::join;
use crate::engine::written::digit;

/// A word settles only when it ends at least this long before the end of the audio it was heard
/// in. Longer settles later, shorter settles words that the final pass would have mended: at 900 ms
/// they were a tenth of all errors of the live path.
pub(super) const UNSETTLED_TAIL_MS: u32 = 2_200;

/// A word that a draft is less sure of than this does not settle, nor what follows it: two drafts
/// hear almost the same, and agree on the same mistakes.
const SETTLED_CONFIDENCE: f32 = 0.7;

/// A word of a draft that ends so near the end of the audio may be half of another.
const HALF_WORD_MS: u32 = 300;

/// A word that a draft is less sure of is doubtful, and held back with all that follows it, unless the
/// last hypothesis had it, too. So few words are shown and then replaced: 0.06 for each that settles
/// on Harvard sentences and 0.10 on bank turns, where 0.38 and 0.24 are if all are shown.
const SURE: f32 = 0.5;

/// The words of one utterance as they settle.
#[derive(Debug, Default)]
pub struct Stabilizer {
    settled: Vec<HeardWord>,
    previous: Vec<HeardWord>,
    shown: (String, String),
}

impl Stabilizer {
    /// The words of a draft that are worth showing while the speaker goes on: those before the first
    /// that is doubtful, and the first in any case. Those that the last hypothesis had, too, are not
    /// doubted: to hold them back would be to take back what was shown.
    pub fn worth_showing(&self, mut words: Vec<HeardWord>, heard_ms: u32) -> Vec<HeardWord> {
        let is_doubtful =
            |word: &HeardWord| word.end_ms + HALF_WORD_MS > heard_ms || word.confidence < SURE;
        let agreed = agreement(&self.previous, &words).max(1);
        let rest = words.iter().skip(agreed);
        let sure = rest.take_while(|word| !is_doubtful(word)).count();
        words.truncate(agreed + sure);
        words
    }

    /// Takes the next hypothesis over the utterance from its beginning, of which `heard_ms` had
    /// been spoken. Returns the new `(stable, unstable)` texts, or nothing if they did not change.
    pub fn push(&mut self, words: Vec<HeardWord>, heard_ms: u32) -> Option<(String, String)> {
        let next = continuation(&self.settled, &words);
        let agreed = agreement(continuation(&self.settled, &self.previous), next);
        let settling: Vec<HeardWord> = next[..agreed]
            .iter()
            .take_while(|word| word.end_ms + UNSETTLED_TAIL_MS <= heard_ms)
            .take_while(|word| word.confidence >= SETTLED_CONFIDENCE)
            .cloned()
            .collect();
        let unstable = join(next[settling.len()..].iter().map(|w| w.text.as_str()));
        self.settled.extend(settling);
        self.previous = words;
        let shown = (self.stable(), unstable);
        if shown == self.shown || (shown.0.is_empty() && shown.1.is_empty()) {
            return None;
        }
        self.shown.clone_from(&shown);
        Some(shown)
    }

    /// The utterance's words for good: what is settled, and from there the final hypothesis. Where
    /// that says the settled words again, its times and confidence count: it heard more.
    pub fn finish(self, words: &[HeardWord]) -> Vec<HeardWord> {
        let rest = continuation(&self.settled, words);
        let again = &words[..words.len() - rest.len()];
        let mut all = self.settled;
        if again.len() == all.len() {
            for (word, heard) in all.iter_mut().zip(again) {
                let text = std::mem::take(&mut word.text);
                *word = HeardWord { text, ..*heard };
            }
        }
        all.extend_from_slice(rest);
        all
    }

    /// The utterance's words where no final hypothesis came: those that were shown last.
    pub fn finish_as_shown(mut self) -> Vec<HeardWord> {
        let shown = std::mem::take(&mut self.previous);
        self.finish(&shown)
    }

    fn stable(&self) -> String {
        join(self.settled.iter().map(|w| w.text.as_str()))
    }
}

/// How many words two hypotheses share at their beginning, case and punctuation aside.
fn agreement(a: &[HeardWord], b: &[HeardWord]) -> usize {
    a.iter()
        .zip(b)
        .take_while(|(a, b)| same(&a.text, &b.text))
        .count()
}

/// Whether two words are the same, written otherwise perhaps: "four" is "4".
fn same(a: &str, b: &str) -> bool {
    letters(a).eq(letters(b)) || digit(a).is_some_and(|digit_a| digit(b) == Some(digit_a))
}

fn letters(word: &str) -> impl Iterator<Item = char> {
    word.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
}

/// What `words` say after the settled ones: the tail that is left when the settled words are laid
/// onto `words` with the fewest edits. Of several such places the one nearest in time to where the
/// settled words end counts: a last word that is heard otherwise now ("book", "book's") is not said
/// twice, and one that is new is not swallowed.
fn continuation<'a>(settled: &[HeardWord], words: &'a [HeardWord]) -> &'a [HeardWord] {
    // The last row of an edit-distance table: the cost of turning all of `settled` into the first
    // j of `words`.
    let mut costs: Vec<usize> = (0..=words.len()).collect();
    for (i, word) in settled.iter().enumerate() {
        let mut diagonal = costs[0];
        costs[0] = i + 1;
        for j in 1..=words.len() {
            let replaced = diagonal + usize::from(!same(&word.text, &words[j - 1].text));
            diagonal = costs[j];
            costs[j] = replaced.min(costs[j] + 1).min(costs[j - 1] + 1);
        }
    }
    let end_ms = |words: &[HeardWord]| words.last().map_or(0, |word| word.end_ms);
    let settled_ms = end_ms(settled);
    let distance = |j: usize| (costs[j], end_ms(&words[..j]).abs_diff(settled_ms));
    let place = (0..=words.len()).min_by_key(|&j| distance(j));
    &words[place.unwrap_or(0)..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(text: &str) -> Vec<HeardWord> {
        text.split_whitespace()
            .zip(0u32..)
            .map(|(text, n)| HeardWord {
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
    fn a_draft_is_shown_up_to_its_first_doubtful_word() {
        let stabilizer = Stabilizer::default();
        let worth = |draft: Vec<HeardWord>, heard_ms| {
            let words = stabilizer.worth_showing(draft, heard_ms);
            join(words.iter().map(|word| word.text.as_str()))
        };
        let draft = words("we go on and on");
        assert_eq!(worth(draft.clone(), 1_500), "we go on and", "half a word");
        assert_eq!(worth(draft.clone(), 1_800), "we go on and on");
        let mut guess = draft;
        guess[2].confidence = 0.1;
        assert_eq!(worth(guess, 1_800), "we go");
        assert_eq!(worth(words("we"), 300), "we", "better than nothing");
    }

    #[test]
    fn doubt_takes_no_word_back_that_is_heard_again() {
        let mut stabilizer = Stabilizer::default();
        stabilizer.push(words("we go on"), 1_200);
        let mut draft = words("we go on and on");
        draft[1].confidence = 0.1;
        let worth = stabilizer.worth_showing(draft, 1_800);
        assert_eq!(worth.len(), 5);
        let mut other = words("we went on and on");
        other[1].confidence = 0.1;
        assert_eq!(stabilizer.worth_showing(other, 1_800), words("we"));
    }

    #[test]
    fn words_settle_when_two_hypotheses_agree_and_the_speaker_is_past_them() {
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
    fn an_unsure_word_does_not_settle_nor_what_follows_it() {
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
    fn a_settled_word_is_never_taken_back_even_by_the_final() {
        let mut stabilizer = Stabilizer::default();
        stabilizer.push(words("a birch canoe"), 3_000);
        assert_eq!(
            stabilizer.push(words("a birch canoe slid"), 3_300),
            Some(shown("a birch canoe", "slid"))
        );
        let last = stabilizer.finish(&words("the birch canoe slid on"));
        assert_eq!(
            join(last.iter().map(|w| w.text.as_str())),
            "a birch canoe slid on"
        );
    }

    #[test]
    fn the_final_hypothesis_knows_best_when_a_settled_word_was_said() {
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
            let text = join(stabilizer.finish(&words(last)).iter().map(|w| w.text.as_str()));
            prop_assert!(text.starts_with(&before));
        }
    }
}
