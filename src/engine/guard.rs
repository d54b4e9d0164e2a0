//! Against loops and words on silence: decisions about a text while it is being written and after.
//! Pure: no I/O.
//!
//! Whisper was trained on windows of 30 seconds. Given less, it writes the right words first and
//! then, every fourth time, the same words again and again; given no speech, it writes what ends
//! videos ("Thank you for watching"). The first is stopped where it begins, the second is judged
//! by how sure the model was (Barański et al. 2025, arXiv:2501.11378, for the kinds of phrase).

use std::ops::Range;

/// The facts about a vocabulary that decisions need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vocabulary {
    /// End of text.
    pub end: i32,
    /// The first timestamp token, 0.00 s; each further one is 20 ms later.
    pub first_timestamp: i32,
}

/// Milliseconds between two timestamp tokens.
pub const TIMESTAMP_MS: u32 = 20;

/// A timestamp this close to the end of speech is taken for the end of the text.
const END_SLACK_MS: u32 = 500;

/// A text whose last words end longer than this before the end of speech is not whole.
const EARLY_MS: u32 = 1_000;

/// A run of at least this many tokens that comes twice in a row is a loop …
const LOOP_TOKENS_MIN: usize = 4;

/// … and a shorter one is when it comes this many times: people do say "no no no".
const SHORT_LOOP_TIMES: usize = 4;

impl Vocabulary {
    /// Whether the text so far must end here: it has reached the end of speech, or it has begun to
    /// repeat itself.
    pub fn must_end(self, tokens: &[i32], speech_end_ms: u32) -> bool {
        let Some(&last) = tokens.last() else {
            return false;
        };
        if last >= self.first_timestamp {
            let at_ms = (last - self.first_timestamp) as u32 * TIMESTAMP_MS;
            let wrote_words = tokens.iter().any(|&token| token < self.end);
            return wrote_words && at_ms + END_SLACK_MS >= speech_end_ms;
        }
        let text: Vec<i32> = tokens
            .iter()
            .copied()
            .filter(|&token| token < self.end)
            .collect();
        ends_in_a_loop(&text)
    }

    /// Whether the text so far may end here: not where a timestamp says that its last words were
    /// said long before the end of speech.
    pub fn may_end(self, tokens: &[i32], speech_end_ms: u32) -> bool {
        tokens.last().is_none_or(|&last| {
            let at_ms = (last - self.first_timestamp).max(0) as u32 * TIMESTAMP_MS;
            last < self.first_timestamp || at_ms + EARLY_MS >= speech_end_ms
        })
    }
}

/// Whether `items` ends in the same run twice (or four times, for short runs).
fn ends_in_a_loop<T: PartialEq>(items: &[T]) -> bool {
    (1..=items.len() / 2).any(|length| {
        let times = if length >= LOOP_TOKENS_MIN {
            2
        } else {
            SHORT_LOOP_TIMES
        };
        repeats(items, length) >= times
    })
}

/// How many times in a row the last `length` items come at the end of `items`.
fn repeats<T: PartialEq>(items: &[T], length: usize) -> usize {
    let run = &items[items.len() - length..];
    items
        .rchunks_exact(length)
        .take_while(|chunk| *chunk == run)
        .count()
}

/// How many leading words to keep: a loop is cut to its first round, also when its last round
/// breaks off. `words` are compared as given, so give them without case and punctuation.
pub fn without_loop<T: PartialEq>(words: &[T]) -> usize {
    let mut kept = words.len();
    for length in 1..=words.len() / 2 {
        let times = if length >= LOOP_TOKENS_MIN {
            2
        } else {
            SHORT_LOOP_TIMES
        };
        for begun in 0..length {
            // `begun` words of a round that breaks off.
            let whole = words.len() - begun;
            if whole < 2 * length || words[whole..] != words[whole - length..whole - length + begun]
            {
                continue;
            }
            let rounds = repeats(&words[..whole], length);
            if rounds >= times {
                kept = kept.min(whole - (rounds - 1) * length);
            }
        }
    }
    kept
}

/// A run of at least this many words that comes twice in a row, nearly the same, is an echo: the
/// model began again and then went on. Nobody says so many words over without one between.
const ECHO_WORDS_MIN: usize = 8;

/// One word in this many may differ in an echo.
const ECHO_DIFFERS: usize = 8;

/// The second round of the first echo, if there is one. Unlike after a loop, the words after it
/// are right. Words without case and punctuation, please.
pub fn echo<T: PartialEq>(words: &[T]) -> Option<Range<usize>> {
    let is_echo = |first: &[T], second: &[T]| {
        let differing = first.iter().zip(second).filter(|(a, b)| a != b).count();
        first[0] == second[0] && differing <= first.len() / ECHO_DIFFERS
    };
    (0..words.len()).find_map(|begin| {
        let longest = (words.len() - begin) / 2;
        let mut lengths = (ECHO_WORDS_MIN..=longest).rev();
        let length = lengths.find(|&length| {
            let (first, rest) = words[begin..].split_at(length);
            is_echo(first, &rest[..length])
        })?;
        Some(begin + length..begin + 2 * length)
    })
}

/// How a text is judged that may not be speech at all.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evidence {
    /// Mean log-probability of the text's tokens.
    pub mean_logprob: f32,
    /// The model's own probability that there is no speech.
    pub no_speech: f32,
    /// Seconds of audio.
    pub seconds: f32,
    /// Words written.
    pub words: usize,
}

/// Below this mean log-probability a text is a guess.
const GUESS_LOGPROB: f32 = -1.0;

/// Above this the model says that nobody speaks.
const NO_SPEECH: f32 = 0.6;

/// People speak at least this many words a second; music gives fewer.
const WORDS_A_SECOND_MIN: f32 = 0.4;

impl Evidence {
    /// Whether the text is more likely made up than heard.
    pub fn is_made_up(&self) -> bool {
        let sparse = self.seconds > 3.0 && (self.words as f32) < WORDS_A_SECOND_MIN * self.seconds;
        let guess = self.mean_logprob < GUESS_LOGPROB;
        (guess && (self.no_speech > NO_SPEECH || sparse)) || (self.no_speech > NO_SPEECH && sparse)
    }
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
    fn an_echo_is_a_long_run_that_comes_again_and_goes_on() {
        let echo_of = |text: &str| echo(&text.split(' ').collect::<Vec<_>>());
        let again = "true till the end of november or the beginning of december \
                     till the end of november for the beginning of december two men died";
        assert_eq!(echo_of(again), Some(11..21));
        for fine in [
            "",
            "one two three four five six seven one two three four five six seven eight",
            "a b c d e f g h and a b c d e f g h",
        ] {
            let found = echo_of(fine);
            assert!(found.is_none(), "{fine}: {found:?}");
        }
    }

    const VOCABULARY: Vocabulary = Vocabulary {
        end: 1_000,
        first_timestamp: 1_100,
    };

    fn at(ms: i32) -> i32 {
        VOCABULARY.first_timestamp + ms / 20
    }

    #[test]
    fn a_timestamp_near_the_end_of_speech_ends_the_text() {
        assert!(VOCABULARY.must_end(&[at(0), 5, 6, at(2_600)], 3_000));
        assert!(!VOCABULARY.must_end(&[at(0), 5, 6, at(1_400)], 3_000));
        assert!(!VOCABULARY.must_end(&[at(0)], 300), "no words yet");
    }

    #[test]
    fn a_text_does_not_end_long_before_the_end_of_speech() {
        assert!(!VOCABULARY.may_end(&[at(0), 5, 6, at(1_400)], 3_000));
        assert!(VOCABULARY.may_end(&[at(0), 5, 6, at(2_000)], 3_000));
        assert!(VOCABULARY.may_end(&[at(0), 5, 6], 3_000), "no time says so");
    }

    #[test]
    fn four_tokens_twice_or_one_four_times_end_the_text() {
        assert!(VOCABULARY.must_end(&[at(0), 9, 1, 2, 3, 4, 1, 2, 3, 4], 9_000));
        assert!(VOCABULARY.must_end(&[at(0), 1, 2, 3, 4, at(900), at(900), 1, 2, 3, 4], 9_000));
        assert!(VOCABULARY.must_end(&[7, 7, 7, 7], 9_000));
        assert!(!VOCABULARY.must_end(&[7, 7, 7], 9_000));
        assert!(!VOCABULARY.must_end(&[1, 2, 3, 1, 2, 3], 9_000));
    }

    #[test]
    fn a_loop_is_cut_to_its_first_round() {
        let cut = |text: &str| {
            let words: Vec<&str> = text.split(' ').collect();
            words[..without_loop(&words)].join(" ")
        };
        assert_eq!(cut("a b c d e b c d e"), "a b c d e");
        assert_eq!(cut("a b c d e b c d e b c"), "a b c d e");
        assert_eq!(cut("no no no"), "no no no");
        assert_eq!(cut("no no no no"), "no");
        assert_eq!(
            cut("one two three one two three"),
            "one two three one two three"
        );
        assert_eq!(
            cut("glue the sheet to the dark blue background"),
            "glue the sheet to the dark blue background"
        );
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
        fn cutting_keeps_a_beginning_that_is_no_loop(words in prop::collection::vec(0u8..3, 0..30)) {
            let kept = without_loop(&words);
            prop_assert!(kept <= words.len());
            prop_assert!(words.is_empty() || kept > 0);
        }
    }
}
