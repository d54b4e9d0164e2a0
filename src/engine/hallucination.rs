//! Against loops and words on silence: decisions about a text while it is being written and after.
//! Pure: no I/O.
//!
//! Whisper was trained on windows of 30 seconds. Given less, it writes the right words first and
//! then, every fourth time, the same words again and again; given no speech, it writes what ends
//! videos ("Thank you for watching"). The second is judged by how sure the model was (Barański et al.
//! 2025, arXiv:2501.11378, for the kinds of phrase).
//!
//! People repeat themselves too: "no no no no", 0000, a whole sentence to somebody who did not hear it.
//! So a repetition alone proves nothing. It is a loop where time contradicts it: where what is written
//! again and again takes longer to say than there is speech. Of a proved loop those rounds are kept
//! after which the model was readiest to write something else, and there it goes on otherwise.

use std::ops::Range;
use std::sync::Arc;

/// The facts about a vocabulary that decisions need.
#[derive(Debug, Clone)]
pub struct DecodeRules {
    /// End of text; the numbers below are words.
    pub eot: i32,
    /// The first timestamp token, 0.00 s; each further one is 20 ms later.
    pub timestamp_begin: i32,
    /// The least time that each word takes to say, in milliseconds.
    duration_ms_min: Arc<[u16]>,
}

/// What may come after a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextToken {
    /// Whatever is likeliest.
    Any,
    /// Anything but the end: somebody still speaks.
    NotEot,
    /// Nothing: the text has reached the end of speech.
    OnlyEot,
}

/// Milliseconds between two timestamp tokens.
pub const TIMESTAMP_MS: u32 = 20;

/// A timestamp this close to the end of speech is taken for the end of the text.
const END_SLACK_MS: u32 = 500;

/// A text whose last words end longer than this before the end of speech is not whole.
const EARLY_END_MS: u32 = 1_000;

/// A run of at least this many tokens that comes twice in a row may be a loop …
const LOOP_TOKENS_MIN: usize = 4;

/// … and a shorter one when it comes this many times.
const SHORT_LOOP_TIMES: usize = 4;

/// Nobody says a letter faster than this for longer than a word. In 250 turns of telephone speech the
/// fastest took 34 ms a letter, and the median 75 ms.
const LETTER_MS_MIN: u16 = 30;

/// Nobody says a digit faster than this: it is a syllable or two.
const DIGIT_MS_MIN: u16 = 90;

/// So many rounds may be as quick as that; more take twice the time each.
const QUICK_ROUNDS_MAX: usize = 6;

/// Whisper's times are rounded, and late, by up to this.
const TIME_SLACK_MS: u32 = 400;

impl DecodeRules {
    /// `spellings`: of the words, in the order of their numbers.
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

    /// What may come after `tokens`, words and times, of speech that ends at `speech_end_ms`.
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

    /// How many tokens to keep of a text that ends in a loop, or that was broken off in one
    /// (`broken_off`): of the rounds for which there is time, as many as after which the model was
    /// readiest to write something else. `logprobs`: how likely each token was, as a logarithm. `None`:
    /// the text is no loop.
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

    /// The least time that one round takes of so many.
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

    /// The time that a token stands for.
    fn timestamp_ms(&self, token: i32) -> Option<u32> {
        let steps = token.checked_sub(self.timestamp_begin)?;
        Some(u32::try_from(steps).ok()? * TIMESTAMP_MS)
    }
}

/// The least time that it takes to say what is written so, in milliseconds.
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

/// A run that comes several times in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Repetition {
    /// Where its first round begins.
    start: usize,
    /// Items of one round.
    length: usize,
    /// Whole rounds.
    rounds: usize,
}

/// The shortest run that `items` end in twice (or four times, for short runs), from where it begins; its
/// last round may break off.
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

/// A run of at least this many words that comes twice in a row, nearly the same, may be an echo: the
/// model began again and then went on.
const REPETITION_WORDS_MIN: usize = 8;

/// One word in this many may differ in an echo.
const REPETITION_DIFFERING_SHARE: usize = 8;

/// The second round of the first echo, if there is one: what comes twice, where there is no time for
/// both (`has_time` is asked of the range of both rounds). Unlike after a loop, the words after it are
/// right. Words without case and punctuation, please.
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

/// How a text is judged that may not be speech at all.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DecodeQuality {
    /// Mean log-probability of the text's tokens.
    pub mean_logprob: f32,
    /// The model's own probability that there is no speech.
    pub no_speech: f32,
    /// Whether the model knows English only.
    pub english_only: bool,
    /// Seconds of audio.
    pub seconds: f32,
    /// Words written.
    pub words: usize,
}

/// Below this mean log-probability a text is a guess.
const GUESS_LOGPROB_MAX: f32 = -1.0;

/// Above this the model says that nobody speaks.
const NO_SPEECH_MIN: f32 = 0.6;

/// Of clips that are shorter than this, models of many languages say so always (base: 0.93 and more of
/// 57 answers of one word, of which it had most right).
const NO_SPEECH_SECONDS_MIN: f32 = 3.0;

/// People speak at least this many words a second; music gives fewer.
const WORDS_A_SECOND_MIN: f32 = 0.4;

impl DecodeQuality {
    /// Whether the text is more likely made up than heard.
    pub fn is_hallucination(&self) -> bool {
        let sparse = self.seconds > 3.0 && (self.words as f32) < WORDS_A_SECOND_MIN * self.seconds;
        let guess = self.mean_logprob < GUESS_LOGPROB_MAX;
        let counts = self.english_only || self.seconds > NO_SPEECH_SECONDS_MIN;
        let no_speech = counts && self.no_speech > NO_SPEECH_MIN;
        (guess && (no_speech || sparse)) || (no_speech && sparse)
    }
}

/// A letter that comes more often in a row is a cry or a noise that the model went on writing.
const SAME_LETTERS_MAX: usize = 3;

/// `word` with none of its letters more often in a row than [`SAME_LETTERS_MAX`]. Digits stay: 0000.
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

/// Whether `text` is a note about a sound rather than words: `[Music]`, `(upbeat music)`, `♪`.
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

    /// Words of six letters from 0 on, digits from 900, and the comma.
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
        assert_ne!(next(&[at(0)], 300), NextToken::OnlyEot, "no words yet");
    }

    #[test]
    fn a_text_does_not_end_long_before_the_end_of_speech() {
        let next = |tokens: &[i32]| rules().next_token_rule(tokens, 3_000);
        assert_eq!(next(&[at(0), 5, 6, at(1_400)]), NextToken::NotEot);
        assert_eq!(next(&[at(0), 5, 6, at(2_000)]), NextToken::Any);
        assert_eq!(next(&[at(0), 5, 6]), NextToken::Any, "no time says so");
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
        assert_eq!(kept(&again, 3_200), Some(8), "only what is left counts");
        assert_eq!(
            kept(&[at(0), 910, 910, 910, 910], 9_000),
            Some(2),
            "commas are not said"
        );
        let many = [7; 20];
        assert_eq!(kept(&many[..12], 4_600), None, "twelve at half the pace");
        assert!(kept(&many, 4_600).is_some(), "nobody keeps up the pace");
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
        assert_eq!(cut(&half), Some(5), "its last round breaks off");
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
