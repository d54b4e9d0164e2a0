//! Detects loops and text that was not spoken, during decoding and after it. Pure: no I/O.
//!
//! Whisper was trained on windows of 30 seconds. On shorter clips it writes the right words first
//! and then, in one of four cases, repeats them endlessly. On clips without speech it writes
//! phrases that end videos ("Thank you for watching"). Such phrases are detected by the confidence
//! of the model (for the kinds of phrase, see Barański et al. 2025, arXiv:2501.11378).
//!
//! People repeat themselves, too: "no no no no", 0000, a whole sentence for a listener who missed
//! it. So a repetition is a loop only if the time contradicts it: speaking it takes longer than the
//! speech in the clip lasts. A loop is cut after the round at which the model was most likely to
//! write another word, and the text continues there with another token.

use std::ops::Range;
use std::sync::Arc;

/// Facts about a vocabulary that the rules need.
#[derive(Debug, Clone)]
pub struct DecodeRules {
    /// End of text; lower numbers are text.
    pub eot: i32,
    /// The first timestamp token, 0.00 s; each further one is 20 ms later.
    pub timestamp_begin: i32,
    /// Minimum time to speak each text token, in milliseconds.
    duration_ms_min: Arc<[u16]>,
}

/// Constraint on the token that follows a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextToken {
    /// No constraint.
    Any,
    /// Any token but end of text: speech continues.
    NotEot,
    /// Only end of text: the text has reached the end of speech.
    OnlyEot,
}

/// Milliseconds between two timestamp tokens.
pub const TIMESTAMP_MS: u32 = 20;

/// A timestamp within this distance of the end of speech ends the text.
const END_SLACK_MS: u32 = 500;

/// A text is incomplete if its last words end earlier than this before the end of speech.
const EARLY_END_MS: u32 = 1_000;

/// A sequence of at least this many tokens, twice in a row, may be a loop.
const LOOP_TOKENS_MIN: usize = 4;

/// A shorter sequence may be a loop if it occurs this many times in a row.
const SHORT_LOOP_TIMES: usize = 4;

/// Minimum time per letter, over more than a word. In 250 turns of telephone speech, the fastest
/// took 34 ms a letter; the median was 75 ms.
const LETTER_MS_MIN: u16 = 30;

/// Minimum time per digit: a digit has one or two syllables.
const DIGIT_MS_MIN: u16 = 90;

/// Maximum number of rounds that can be spoken in the minimum time. More rounds take twice the time
/// each.
const QUICK_ROUNDS_MAX: usize = 6;

/// Tolerance for Whisper's timestamps, which are rounded and late by up to this much.
const TIME_SLACK_MS: u32 = 400;

impl DecodeRules {
    /// `spellings` holds the bytes of the text tokens, in the order of their numbers.
    pub fn new<'a>(
        eot: i32,
        timestamp_begin: i32,
        spellings: impl Iterator<Item = &'a [u8]>,
    ) -> Self {
        Self {
            eot,
            timestamp_begin,
            duration_ms_min: spellings.map(duration_ms_min).collect(),
        }
    }

    /// Returns the constraint on the token after `tokens` (text and timestamps), where speech ends
    /// at `speech_end_ms`.
    pub fn next_token_rule(&self, tokens: &[i32], speech_end_ms: u32) -> NextToken {
        let Some(at_ms) = tokens.last().and_then(|&last| self.timestamp_ms(last)) else {
            return NextToken::Any;
        };
        let wrote_words = tokens.iter().any(|&token| token < self.eot);
        if wrote_words && at_ms + END_SLACK_MS >= speech_end_ms {
            NextToken::OnlyEot
        } else if at_ms + EARLY_END_MS < speech_end_ms {
            NextToken::NotEot
        } else {
            NextToken::Any
        }
    }

    /// Returns the number of tokens to keep of a text that ends in a loop; `None` if it does not.
    ///
    /// Of the rounds for which there is time, those up to the one after which the next round was
    /// least likely are kept. `logprobs` are the log-probabilities of the tokens. With
    /// `broken_off`, the text reached its maximum length without an end: a repetition at its end is
    /// a loop even if there is time for it.
    pub fn tokens_before_loop(
        &self,
        tokens: &[i32],
        logprobs: &[f32],
        speech_end_ms: u32,
        broken_off: bool,
    ) -> Option<usize> {
        let words: Vec<usize> = (0..tokens.len())
            .filter(|&at| tokens[at] < self.eot)
            .collect();
        let text: Vec<i32> = words.iter().map(|&at| tokens[at]).collect();
        let found = find_trailing_repetition(&text)?;
        let from_ms = tokens[..words[found.start]]
            .iter()
            .rev()
            .find_map(|&token| self.timestamp_ms(token));
        let left_ms = speech_end_ms.saturating_sub(from_ms.unwrap_or(0)) + TIME_SLACK_MS;
        let round = &text[found.start..][..found.length];
        let has_time = |rounds: usize| {
            let duration_ms_min = rounds as u32 * self.duration_ms_min(round, rounds);
            duration_ms_min > 0 && duration_ms_min <= left_ms
        };
        if has_time(found.rounds) && !broken_off {
            return None;
        }
        let first_of = |round: usize| words.get(found.start + round * found.length);
        let going_on = |&rounds: &usize| {
            let next = first_of(rounds).and_then(|&next| logprobs.get(next));
            next.copied().unwrap_or(0.0)
        };
        let rounds = (1..=found.rounds)
            .take_while(|&rounds| rounds == 1 || has_time(rounds))
            .min_by(|a, b| going_on(a).total_cmp(&going_on(b)))?;
        let last = found.start + rounds * found.length - 1;
        Some(words[last] + 1)
    }

    /// Returns the minimum duration of one round, if there are `rounds` of them.
    fn duration_ms_min(&self, round: &[i32], rounds: usize) -> u32 {
        let least = |&token: &i32| {
            let least = usize::try_from(token)
                .ok()
                .and_then(|n| self.duration_ms_min.get(n));
            least.map_or(0, |&ms| u32::from(ms))
        };
        let duration_ms_min: u32 = round.iter().map(least).sum();
        if rounds > QUICK_ROUNDS_MAX {
            2 * duration_ms_min
        } else {
            duration_ms_min
        }
    }

    /// Returns the time of a timestamp token; `None` for text.
    fn timestamp_ms(&self, token: i32) -> Option<u32> {
        let steps = token.checked_sub(self.timestamp_begin)?;
        Some(u32::try_from(steps).ok()? * TIMESTAMP_MS)
    }
}

/// Returns the minimum time to speak a spelling, in milliseconds.
fn duration_ms_min(spelling: &[u8]) -> u16 {
    String::from_utf8_lossy(spelling)
        .chars()
        .map(|c| match c {
            _ if c.is_numeric() => DIGIT_MS_MIN,
            _ if c.is_alphabetic() => LETTER_MS_MIN,
            _ => 0,
        })
        .fold(0, u16::saturating_add)
}

/// A sequence that is repeated several times in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Repetition {
    /// Index of its first item.
    start: usize,
    /// Items per round.
    length: usize,
    /// Number of complete rounds.
    rounds: usize,
}

/// Finds the shortest sequence that is repeated twice (four times for short sequences) at the end
/// of `items`. The last round may be incomplete.
fn find_trailing_repetition<T: PartialEq>(items: &[T]) -> Option<Repetition> {
    let end = items.len();
    (1..=end / 2).find_map(|length| {
        let times = if length >= LOOP_TOKENS_MIN {
            2
        } else {
            SHORT_LOOP_TIMES
        };
        let earlier = items.iter().rev().skip(length);
        let pairs = items.iter().rev().zip(earlier);
        let again = pairs.take_while(|(a, b)| a == b).count();
        let rounds = (length + again) / length;
        (rounds >= times).then(|| Repetition {
            start: end - length - again,
            length,
            rounds,
        })
    })
}

/// A sequence of at least this many words, nearly the same twice in a row, may be an artefact: the
/// model started again and then continued.
const REPETITION_WORDS_MIN: usize = 8;

/// One of this many words may differ between the two rounds.
const REPETITION_DIFFERING_SHARE: usize = 8;

/// Returns the range of the second round of the first repetition for which there is no time;
/// `has_time` receives the range of both rounds. Unlike after a loop, the words after it are right.
/// `words` must be without case and punctuation.
pub fn find_repetition<T: PartialEq>(
    words: &[T],
    has_time: impl Fn(Range<usize>) -> bool,
) -> Option<Range<usize>> {
    let is_repetition = |first: &[T], second: &[T]| {
        let differing = first.iter().zip(second).filter(|(a, b)| a != b).count();
        first[0] == second[0] && differing <= first.len() / REPETITION_DIFFERING_SHARE
    };
    (0..words.len()).find_map(|begin| {
        let longest = (words.len() - begin) / 2;
        let mut lengths = (REPETITION_WORDS_MIN..=longest).rev();
        let length = lengths.find(|&length| {
            let (first, rest) = words[begin..].split_at(length);
            is_repetition(first, &rest[..length]) && !has_time(begin..begin + 2 * length)
        })?;
        Some(begin + length..begin + 2 * length)
    })
}

/// Signals that distinguish a hallucination from speech.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DecodeQuality {
    /// Mean log-probability of the text's tokens.
    pub mean_logprob: f32,
    /// The model's own probability that there is no speech.
    pub no_speech: f32,
    /// Whether the model is English-only.
    pub english_only: bool,
    /// Seconds of audio.
    pub seconds: f32,
    /// Number of spoken words in the text.
    pub words: usize,
}

/// A text with a lower mean log-probability is a guess.
const GUESS_LOGPROB_MAX: f32 = -1.0;

/// No-speech probability above which the model detects no speech.
const NO_SPEECH_MIN: f32 = 0.6;

/// On shorter clips, the no-speech probability of multilingual models is always high, and is
/// ignored (base: 0.93 and more for 57 answers of one word, most of which it had right).
const NO_SPEECH_SECONDS_MIN: f32 = 3.0;

/// Minimum number of words per second of speech; music gives fewer.
const WORDS_A_SECOND_MIN: f32 = 0.4;

impl DecodeQuality {
    /// Whether the text is a likely hallucination.
    pub fn is_hallucination(&self) -> bool {
        let sparse = self.seconds > 3.0 && (self.words as f32) < WORDS_A_SECOND_MIN * self.seconds;
        let guess = self.mean_logprob < GUESS_LOGPROB_MAX;
        let counts = self.english_only || self.seconds > NO_SPEECH_SECONDS_MIN;
        let no_speech = counts && self.no_speech > NO_SPEECH_MIN;
        (guess && (no_speech || sparse)) || (no_speech && sparse)
    }
}

/// Maximum number of equal letters in a row. More are a cry, or a noise that the model continued to
/// write.
const SAME_LETTERS_MAX: usize = 3;

/// Returns `word` with at most [`SAME_LETTERS_MAX`] equal letters in a row. Digits are kept: 0000.
pub fn shorten_stretched_letters(word: &str) -> String {
    let mut kept = String::with_capacity(word.len());
    let (mut last, mut times) = (' ', 0);
    for c in word.chars() {
        times = if c == last { times + 1 } else { 1 };
        last = c;
        if times <= SAME_LETTERS_MAX || !c.is_alphabetic() {
            kept.push(c);
        }
    }
    kept
}

/// Whether `text` is a note about a sound instead of words: `[Music]`, `(upbeat music)`, `♪`.
pub fn is_sound_note(text: &str) -> bool {
    let text = text.trim().trim_end_matches(['.', ',', '!']);
    let wrapped = [("[", "]"), ("(", ")"), ("*", "*"), ("♪", "♪")]
        .iter()
        .any(|(open, close)| text.len() > 1 && text.starts_with(open) && text.ends_with(close));
    wrapped || !text.chars().any(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_repetition_is_a_long_run_that_comes_again_and_goes_on() {
        let repetition_of =
            |text: &str| find_repetition(&text.split(' ').collect::<Vec<_>>(), |_| false);
        let again = "true till the end of november or the beginning of december \
                     till the end of november for the beginning of december two men died";
        assert_eq!(repetition_of(again), Some(11..21));
        let words: Vec<&str> = again.split(' ').collect();
        assert_eq!(
            find_repetition(&words, |both| both == (1..21)),
            None,
            "there is time"
        );
        for fine in [
            "",
            "one two three four five six seven one two three four five six seven eight",
            "a b c d e f g h and a b c d e f g h",
        ] {
            let found = repetition_of(fine);
            assert!(found.is_none(), "{fine}: {found:?}");
        }
    }

    const EOT: i32 = 1_000;
    const TIMESTAMP_BEGIN: i32 = 1_100;

    /// Words of six letters from 0 on, digits from 900 on, commas from 910 on.
    fn rules() -> DecodeRules {
        let spelling = |token| match token {
            ..900 => b" abcdef".as_slice(),
            900..910 => b" 5",
            _ => b",",
        };
        DecodeRules::new(EOT, TIMESTAMP_BEGIN, (0..EOT).map(spelling))
    }

    fn at(ms: i32) -> i32 {
        TIMESTAMP_BEGIN + ms / 20
    }

    #[test]
    fn a_timestamp_near_the_end_of_speech_ends_the_text() {
        let next = |tokens: &[i32], end_ms| rules().next_token_rule(tokens, end_ms);
        assert_eq!(next(&[at(0), 5, 6, at(2_600)], 3_000), NextToken::OnlyEot);
        assert_ne!(next(&[at(0), 5, 6, at(1_400)], 3_000), NextToken::OnlyEot);
        assert_ne!(next(&[at(0)], 300), NextToken::OnlyEot, "without words");
    }

    #[test]
    fn a_text_does_not_end_long_before_the_end_of_speech() {
        let next = |tokens: &[i32]| rules().next_token_rule(tokens, 3_000);
        assert_eq!(next(&[at(0), 5, 6, at(1_400)]), NextToken::NotEot);
        assert_eq!(next(&[at(0), 5, 6, at(2_000)]), NextToken::Any);
        assert_eq!(next(&[at(0), 5, 6]), NextToken::Any, "no timestamp");
    }

    fn kept(tokens: &[i32], end_ms: u32) -> Option<usize> {
        rules().tokens_before_loop(tokens, &vec![-1.0; tokens.len()], end_ms, false)
    }

    #[test]
    fn what_there_is_time_to_say_is_no_loop() {
        let digits = [at(0), 1, 905, 910, 905, 910, 905, 910, 905, 910];
        assert_eq!(kept(&digits, 2_000), None, "5, 5, 5, 5 in two seconds");
        assert_eq!(
            kept(&[at(0), 7, 7, 7, 7, 7, 7], 2_000),
            None,
            "no no no no no no"
        );
        let sentence = [at(0), 9, 1, 2, 3, 4, 1, 2, 3, 4];
        assert_eq!(kept(&sentence, 3_000), None, "a sentence twice");
        let zeros = [at(0), 900, 900, 900, 900, 900, 900];
        assert_eq!(kept(&zeros, 800), None, "fast digits");
    }

    #[test]
    fn what_there_is_no_time_to_say_again_is_a_loop() {
        let sentence = [at(0), 9, 1, 2, 3, 4, 1, 2, 3, 4];
        assert_eq!(kept(&sentence, 900), Some(6), "the first round");
        let late = [at(0), 1, 2, 3, 4, at(2_500), at(2_500), 1, 2, 3, 4];
        assert_eq!(kept(&late, 6_000), None);
        assert_eq!(kept(&late[5..], 2_600), None, "one round is no repetition");
        let again = [at(0), 9, at(2_500), at(2_500), 1, 2, 3, 4, 1, 2, 3, 4];
        assert_eq!(kept(&again, 3_200), Some(8), "only the time left counts");
        assert_eq!(
            kept(&[at(0), 910, 910, 910, 910], 9_000),
            Some(2),
            "commas are not spoken"
        );
        let many = [7; 20];
        assert_eq!(kept(&many[..12], 4_600), None, "twelve at half the pace");
        assert!(kept(&many, 4_600).is_some(), "too fast for so long");
    }

    #[test]
    fn of_a_loop_as_many_rounds_are_kept_as_the_model_was_readiest_to_leave_it_after() {
        let tokens = [7; 20];
        let mut logprobs = [-0.1; 20];
        logprobs[3] = -2.0;
        logprobs[15] = -3.0;
        let kept = rules().tokens_before_loop(&tokens, &logprobs, 2_000, false);
        assert_eq!(kept, Some(3), "there is no time for fifteen");
    }

    #[test]
    fn a_text_that_has_no_end_is_cut_where_it_repeats_itself() {
        let cut = |tokens: &[i32]| {
            let mut logprobs = vec![-0.1; tokens.len()];
            logprobs[3] = -1.0;
            rules().tokens_before_loop(tokens, &logprobs, 20_000, true)
        };
        let tokens = [at(0), 8, 7, 7, 7, 7, 7];
        assert_eq!(cut(&tokens), Some(3));
        assert_eq!(cut(&tokens[..5]), None, "no repetition");
        let half = [at(0), 1, 2, 3, 4, 1, 2, 3, 4, 1, 2];
        assert_eq!(cut(&half), Some(5), "the last round is incomplete");
    }

    #[test]
    fn a_short_answer_is_not_made_up_because_a_model_of_many_languages_hears_no_speech() {
        let stop = DecodeQuality {
            mean_logprob: -1.83,
            no_speech: 0.98,
            english_only: false,
            seconds: 1.0,
            words: 1,
        };
        assert!(!stop.is_hallucination());
        let english_only = true;
        assert!(
            DecodeQuality {
                english_only,
                ..stop
            }
            .is_hallucination()
        );
        let seconds = 4.0;
        assert!(
            DecodeQuality { seconds, ..stop }.is_hallucination(),
            "music"
        );
    }

    #[test]
    fn a_letter_is_not_stretched_and_a_digit_is() {
        for (word, kept) in [
            ("Yaaaaaaaaaa!", "Yaaa!"),
            ("00000", "00000"),
            ("committee", "committee"),
            ("www.", "www."),
            ("......", "......"),
        ] {
            assert_eq!(shorten_stretched_letters(word), kept);
        }
    }

    #[test]
    fn notes_about_sounds_are_not_words() {
        for note in [
            "[Music]",
            " (upbeat music)",
            "[BLANK_AUDIO].",
            "♪",
            "♪ la ♪",
            "*sigh*",
            "...",
            "",
        ] {
            assert!(is_sound_note(note), "{note:?}");
        }
        for words in ["Thank you.", "a (b) c", "5"] {
            assert!(!is_sound_note(words), "{words:?}");
        }
    }

    proptest! {
        #[test]
        fn cutting_keeps_a_beginning(
            words in prop::collection::vec(0..3, 0..30), end_ms in 0_u32..9_000, broken_off: bool,
        ) {
            let logprobs = vec![-1.0; words.len()];
            if let Some(kept) = rules().tokens_before_loop(&words, &logprobs, end_ms, broken_off) {
                prop_assert!(kept > 0 && kept <= words.len());
            }
        }
    }
}
