//! Tokens with times → words with times, and whether to believe them. Pure: no I/O.

use crate::audio;
use crate::engine::guard;
use crate::engine::guard::Evidence;
use crate::engine::obscenity;
use crate::engine::recognizer::HeardWord;
use crate::engine::recognizer::Hypothesis;
use crate::engine::recognizer::Request;
use crate::engine::written;

/// Tokens allowed: this many, and as many for each second. Speech has about four a second.
const TOKENS_MIN: usize = 8;

/// A final with a lower mean log-probability is worth a second look.
const DOUBTFUL_LOGPROB: f32 = -1.0;

/// Nobody says something long twice at less than this for a letter: the median is 75 ms, and of 78 turns
/// of bank calls one was quicker.
const ECHO_LETTER_MS_MIN: usize = 40;

/// So many numbers in a row are a number that somebody reads out.
const DIGITS_MIN: usize = 3;

/// A text with more words may be so much less likely, by the token.
const LESS_LIKELY_MAX: f32 = 0.2;

/// How many tokens a text for these samples may have.
pub(super) fn tokens_max(request: &Request<'_>) -> usize {
    let seconds = request.samples.len() / audio::SPEECH_HZ as usize + 1;
    TOKENS_MIN + TOKENS_MIN * seconds
}

/// One token of a pass.
pub(super) enum Piece {
    Time(u32),
    Text { bytes: Vec<u8>, logprob: f32 },
}

/// What else is known of a pass.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signs {
    /// How likely nobody speaks.
    pub(super) no_speech: f32,
    /// Whether the model knows English only.
    pub(super) english_only: bool,
    /// Whether the text was a loop.
    pub(super) looped: bool,
}

/// What one pass heard.
pub(super) struct Heard {
    words: Vec<HeardWord>,
    evidence: Evidence,
    looped: bool,
}

impl Heard {
    pub(super) fn new(pieces: &[Piece], signs: Signs, request: &Request<'_>) -> Self {
        let mut words = Vec::new();
        let mut stretch: Vec<(Vec<u8>, f32)> = Vec::new();
        let (mut from, mut logprobs) = (0, Vec::new());
        for piece in pieces {
            match piece {
                Piece::Time(at) => {
                    spread(&mut stretch, from, *at, &mut words);
                    from = *at;
                }
                Piece::Text { bytes, logprob } => {
                    logprobs.push(*logprob);
                    let begins = bytes.first() == Some(&b' ') || stretch.is_empty();
                    match stretch.last_mut() {
                        Some((word, least)) if !begins => {
                            word.extend_from_slice(bytes);
                            *least = least.min(*logprob);
                        }
                        _ => stretch.push((bytes.clone(), *logprob)),
                    }
                }
            }
        }
        let end = request.speech_end_ms.max(from);
        spread(&mut stretch, from, end, &mut words);
        let mut plain: Vec<String> = words.iter().map(|word| plain(&word.text)).collect();
        while let Some(echo) = guard::echo(&plain, |both| has_time(&words[both])) {
            plain.drain(echo.clone());
            words.drain(echo);
        }
        for word in &mut words {
            word.text = guard::without_stretched_letters(&word.text);
            if obscenity::is_unsure(&word.text, word.confidence) {
                obscenity::UNCLEAR.clone_into(&mut word.text);
                word.confidence = 0.0;
            }
        }
        written::number_style(&mut words);
        let evidence = Evidence {
            mean_logprob: logprobs.iter().sum::<f32>() / (logprobs.len().max(1)) as f32,
            no_speech: signs.no_speech,
            english_only: signs.english_only,
            seconds: request.samples.len() as f32 / audio::SPEECH_HZ as f32,
            words: words.iter().map(|word| spoken_words(&word.text)).sum(),
        };
        Self {
            words,
            evidence,
            looped: signs.looped,
        }
    }

    /// Whether a second look is worth its time.
    pub(super) fn is_doubtful(&self) -> bool {
        self.looped || (!self.words.is_empty() && self.evidence.mean_logprob < DOUBTFUL_LOGPROB)
    }

    /// Whether this is to be preferred to an earlier, doubtful look at the same clip.
    pub(super) fn is_better_than(&self, earlier: &Self) -> bool {
        earlier.looped || self.evidence.mean_logprob > earlier.evidence.mean_logprob
    }

    /// Whether something is said several times in a row, or digits are read out: how often, and how
    /// many, is worth another look.
    pub(super) fn repeats(&self) -> bool {
        let words = self.words.iter().map(|word| plain(&word.text));
        let words: Vec<String> = words.filter(|word| !word.is_empty()).collect();
        let comes_again = |length: usize| {
            words
                .windows(2 * length)
                .any(|both| both[..length] == both[length..])
        };
        let is_number = |word: &String| word.bytes().all(|byte| byte.is_ascii_digit());
        self.looped
            || (1..=words.len() / 2).any(comes_again)
            || words
                .windows(DIGITS_MIN)
                .any(|few| few.iter().all(is_number))
    }

    /// Whether this has words that another look at the same clip left out: others than what is said again
    /// and again, or the same more often.
    pub(super) fn has_more_than(&self, other: &Self) -> bool {
        if self.looped || self.words.is_empty() || self.evidence.is_made_up() {
            return false;
        }
        let (ours, theirs) = (self.words_once(), other.words_once());
        let is_likely = self.evidence.mean_logprob + LESS_LIKELY_MAX > other.evidence.mean_logprob;
        other.looped
            || (ours > theirs && self.evidence.mean_logprob > DOUBTFUL_LOGPROB)
            || (ours == theirs && self.words.len() > other.words.len() && is_likely)
    }

    /// How many words there are if each is counted once that comes again at once.
    fn words_once(&self) -> usize {
        let mut once: Vec<String> = Vec::new();
        for word in &self.words {
            once.push(plain(&word.text));
            let end = once.len();
            let again = (1..=end / 2).find(|n| once[end - 2 * n..end - n] == once[end - n..]);
            once.truncate(end - again.unwrap_or(0));
        }
        once.len()
    }

    /// The words, unless they are more likely made up.
    pub(super) fn believed(mut self, language: String) -> Hypothesis {
        if self.evidence.is_made_up() {
            self.words.clear();
        }
        self.hypothesis(language)
    }

    /// The words as they are.
    pub(super) fn hypothesis(self, language: String) -> Hypothesis {
        Hypothesis {
            words: self.words,
            language,
            mean_logprob: self.evidence.mean_logprob,
        }
    }
}

/// How many words are said where one is written: each digit of "88888" is one.
fn spoken_words(written: &str) -> usize {
    let digits = written.chars().filter(char::is_ascii_digit).count();
    digits.max(1)
}

/// Whether there is time to say an echo: at its time of both rounds, the first is as quick as people
/// are, and the second as well.
fn has_time(words: &[HeardWord]) -> bool {
    let (Some(first), Some(last)) = (words.first(), words.last()) else {
        return true;
    };
    let letters: usize = words
        .iter()
        .map(|word| plain(&word.text).chars().count())
        .sum();
    (last.end_ms - first.start_ms) as usize >= letters * ECHO_LETTER_MS_MIN
}

/// Spreads the words of one stretch between two timestamps over its time by their lengths.
/// Notes about sounds are left out.
fn spread(stretch: &mut Vec<(Vec<u8>, f32)>, from: u32, to: u32, words: &mut Vec<HeardWord>) {
    let texts: Vec<(String, f32)> = stretch
        .drain(..)
        .map(|(bytes, logprob)| (String::from_utf8_lossy(&bytes).trim().to_owned(), logprob))
        .filter(|(text, _)| !text.is_empty())
        .collect();
    let whole = texts
        .iter()
        .map(|(text, _)| text.as_str())
        .collect::<Vec<_>>()
        .join(" ");
    if guard::is_sound_note(&whole) {
        return;
    }
    let letters: usize = texts.iter().map(|(text, _)| text.chars().count()).sum();
    let span = to.saturating_sub(from) as usize;
    let mut passed = 0;
    for (text, logprob) in texts {
        let start_ms = from + (span * passed / letters.max(1)) as u32;
        passed += text.chars().count();
        let end_ms = from + (span * passed / letters.max(1)) as u32;
        words.push(HeardWord {
            text,
            start_ms,
            end_ms,
            confidence: logprob.exp().clamp(0.0, 1.0),
        });
    }
}

fn plain(word: &str) -> String {
    word.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::engine::obscenity::UNCLEAR;
    use crate::engine::recognizer::Effort;

    const SIGNS: Signs = Signs {
        no_speech: 0.0,
        english_only: true,
        looped: false,
    };

    /// What is heard where each word, as likely as is said, is a token, within `ms`.
    fn heard(words: &[(&str, f32)], ms: u32) -> Heard {
        let samples = vec![0.0; ms as usize * 16];
        let request = Request {
            samples: &samples,
            speech_end_ms: ms,
            effort: Effort::Careful,
            language: None,
            cancelled: &AtomicBool::new(false),
        };
        let word = |&(word, confidence): &(&str, f32)| Piece::Text {
            bytes: format!(" {word}").into_bytes(),
            logprob: confidence.ln(),
        };
        let mut pieces = vec![Piece::Time(0)];
        pieces.extend(words.iter().map(word));
        pieces.push(Piece::Time(ms));
        Heard::new(&pieces, SIGNS, &request)
    }

    fn text(words: &str, ms: u32) -> String {
        let words: Vec<(&str, f32)> = words.split(' ').map(|word| (word, 0.9)).collect();
        heard(&words, ms).hypothesis("en".to_owned()).text()
    }

    #[test]
    fn what_is_said_again_is_kept_where_there_is_time_for_it() {
        let twice = "four hours of steady work faced us all four hours of steady work faced us all \
                     and then a large size is hard to sell";
        for (said, ms) in [("no no no no", 900), ("0 0 0 0", 900), (twice, 6_000)] {
            assert_eq!(text(said, ms), said);
        }
        let once = "four hours of steady work faced us all and then a large size is hard to sell";
        assert_eq!(text(twice, 2_400), once, "an echo");
    }

    #[test]
    fn what_comes_again_is_looked_at_again() {
        let repeats = |text: &str| {
            let words: Vec<(&str, f32)> = text.split(' ').map(|word| (word, 0.9)).collect();
            heard(&words, 3_000).repeats()
        };
        for text in ["No, no.", "I will. I will come", "9 1 1"] {
            assert!(repeats(text), "{text}");
        }
        for text in ["No, I said no.", "It is 9 to 5 here", "hello"] {
            assert!(!repeats(text), "{text}");
        }
        let likely = |text: &str, confidence| {
            let words: Vec<(&str, f32)> = text.split(' ').map(|word| (word, confidence)).collect();
            heard(&words, 3_000)
        };
        let short = likely("no no no", 0.9);
        assert!(likely("no no no no", 0.85).has_more_than(&short));
        assert!(!likely("no no no no", 0.5).has_more_than(&short), "a guess");
        assert!(!likely("no no", 0.9).has_more_than(&short));
        let loop_only = likely("right right right right right right right right", 0.95);
        let whole = likely("right right right read it out", 0.6);
        assert!(whole.has_more_than(&loop_only), "a loop hides the rest");
        assert!(!loop_only.has_more_than(&whole));
    }

    #[test]
    fn an_obscenity_that_the_model_is_unsure_of_is_not_shown() {
        let heard = heard(&[("I'm", 0.9), ("fucking", 0.42), ("healthy", 0.8)], 1_000);
        let hypothesis = heard.hypothesis("en".to_owned());
        assert_eq!(hypothesis.text(), format!("I'm {UNCLEAR} healthy"));
        assert!(hypothesis.words[1].confidence < 0.1, "it must not settle");
    }

    #[test]
    fn each_digit_is_a_word_that_was_said() {
        assert_eq!(["88888", "8-8-8", "hello,"].map(spoken_words), [5, 3, 1]);
    }

    #[test]
    fn digits_are_written_in_one_way() {
        assert_eq!(text("Four, one, 5, 5, please.", 2_000), "4 1 5 5, please.");
    }
}
