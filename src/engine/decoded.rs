//! Groups decoded tokens into timed words, edits them and drops likely hallucinations. Pure: no
//! I/O.

use crate::audio;
use crate::engine::hallucination;
use crate::engine::hallucination::DecodeQuality;
use crate::engine::number_format;
use crate::engine::obscenity;
use crate::engine::recognizer::Hypothesis;
use crate::engine::recognizer::RecognizeRequest;
use crate::engine::recognizer::RecognizedWord;

/// Maximum number of tokens: this many, and as many again for each second. Speech has about four a
/// second.
const TOKENS_PER_SECOND: usize = 8;

/// A final with a lower mean log-probability is decoded a second time.
const DOUBTFUL_LOGPROB_MAX: f32 = -1.0;

/// Minimum time per letter of something long that is spoken twice. The median is 75 ms; of 78 turns
/// of bank calls, one was faster than this.
const REPETITION_LETTER_MS_MIN: usize = 40;

/// This many numbers in a row are a number that is read out.
const DIGIT_RUN_MIN: usize = 3;

/// A text with more words may have a mean log-probability that is lower by this much.
const LOGPROB_DEFICIT_MAX: f32 = 0.2;

/// Returns the maximum number of tokens for the samples of a request.
pub(super) fn tokens_max(request: &RecognizeRequest<'_>) -> usize {
    let seconds = request.samples.len() / audio::SPEECH_HZ as usize + 1;
    TOKENS_PER_SECOND + TOKENS_PER_SECOND * seconds
}

/// One token of a pass; a timestamp is in milliseconds.
pub(super) enum DecodedToken {
    Timestamp(u32),
    Text { bytes: Vec<u8>, logprob: f32 },
}

/// Signals of a pass other than its tokens.
#[derive(Debug, Clone, Copy)]
pub(super) struct DecodeSignals {
    /// Probability that the clip contains no speech.
    pub(super) no_speech: f32,
    /// Whether the model is English-only.
    pub(super) english_only: bool,
    /// Whether a loop was cut from the text.
    pub(super) had_loop: bool,
}

/// Words of one pass, and the quality of the pass.
pub(super) struct DecodedText {
    words: Vec<RecognizedWord>,
    quality: DecodeQuality,
    had_loop: bool,
}

impl DecodedText {
    pub(super) fn new(
        tokens: &[DecodedToken],
        signals: DecodeSignals,
        request: &RecognizeRequest<'_>,
    ) -> Self {
        let mut words = group_tokens(tokens, request.speech_end_ms);
        remove_repetitions(&mut words);
        for word in &mut words {
            word.text = hallucination::shorten_stretched_letters(&word.text);
            if obscenity::must_mask(&word.text, word.confidence) {
                obscenity::UNCLEAR.clone_into(&mut word.text);
                word.confidence = 0.0;
            }
        }
        number_format::format_numbers(&mut words);
        let quality = DecodeQuality {
            mean_logprob: mean_logprob(tokens),
            no_speech: signals.no_speech,
            english_only: signals.english_only,
            seconds: request.samples.len() as f32 / audio::SPEECH_HZ as f32,
            words: words
                .iter()
                .map(|word| count_spoken_words(&word.text))
                .sum(),
        };
        Self {
            words,
            quality,
            had_loop: signals.had_loop,
        }
    }

    /// Whether a second pass is worth its time.
    pub(super) fn is_doubtful(&self) -> bool {
        self.had_loop
            || (!self.words.is_empty() && self.quality.mean_logprob < DOUBTFUL_LOGPROB_MAX)
    }

    /// Whether this pass is preferable to `earlier`, a doubtful pass over the same clip.
    pub(super) fn is_better_than(&self, earlier: &Self) -> bool {
        earlier.had_loop || self.quality.mean_logprob > earlier.quality.mean_logprob
    }

    /// Whether the text repeats something several times in a row, or reads out digits. The number
    /// of repetitions or digits is worth another pass.
    pub(super) fn has_repetition(&self) -> bool {
        let words = self.words.iter().map(|word| normalize_word(&word.text));
        let words: Vec<String> = words.filter(|word| !word.is_empty()).collect();
        let comes_again = |length: usize| {
            words
                .windows(2 * length)
                .any(|both| both[..length] == both[length..])
        };
        let is_number = |word: &String| word.bytes().all(|byte| byte.is_ascii_digit());
        self.had_loop
            || (1..=words.len() / 2).any(comes_again)
            || words
                .windows(DIGIT_RUN_MIN)
                .any(|few| few.iter().all(is_number))
    }

    /// Whether this pass has words that `other`, a pass over the same clip, left out: words other
    /// than the repeated ones, or more repetitions of the same words.
    pub(super) fn has_more_words_than(&self, other: &Self) -> bool {
        if self.had_loop || self.words.is_empty() || self.quality.is_hallucination() {
            return false;
        }
        let (ours, theirs) = (self.count_distinct_words(), other.count_distinct_words());
        let is_likely =
            self.quality.mean_logprob + LOGPROB_DEFICIT_MAX > other.quality.mean_logprob;
        other.had_loop
            || (ours > theirs && self.quality.mean_logprob > DOUBTFUL_LOGPROB_MAX)
            || (ours == theirs && self.words.len() > other.words.len() && is_likely)
    }

    /// Counts the words without their immediate repetitions.
    fn count_distinct_words(&self) -> usize {
        let mut once: Vec<String> = Vec::new();
        for word in &self.words {
            once.push(normalize_word(&word.text));
            let end = once.len();
            let again = (1..=end / 2).find(|n| once[end - 2 * n..end - n] == once[end - n..]);
            once.truncate(end - again.unwrap_or(0));
        }
        once.len()
    }

    /// Returns the words, or no words if the text is a likely hallucination.
    pub(super) fn into_filtered_hypothesis(mut self, language: String) -> Hypothesis {
        if self.quality.is_hallucination() {
            self.words.clear();
        }
        self.into_hypothesis(language)
    }

    /// Returns the words without this filter.
    pub(super) fn into_hypothesis(self, language: String) -> Hypothesis {
        Hypothesis {
            words: self.words,
            language,
            mean_logprob: self.quality.mean_logprob,
        }
    }
}

/// Groups the tokens of a pass into words with their times. The last words end at `speech_end_ms`,
/// unless a timestamp is later.
fn group_tokens(tokens: &[DecodedToken], speech_end_ms: u32) -> Vec<RecognizedWord> {
    let mut words = Vec::new();
    let mut pending_words: Vec<(Vec<u8>, f32)> = Vec::new();
    let mut from = 0;
    for token in tokens {
        match token {
            DecodedToken::Timestamp(at) => {
                spread_words(&mut pending_words, from, *at, &mut words);
                from = *at;
            }
            DecodedToken::Text { bytes, logprob } => {
                let begins = bytes.first() == Some(&b' ') || pending_words.is_empty();
                match pending_words.last_mut() {
                    Some((word, confidence_logprob)) if !begins => {
                        word.extend_from_slice(bytes);
                        *confidence_logprob = confidence_logprob.min(*logprob);
                    }
                    _ => pending_words.push((bytes.clone(), *logprob)),
                }
            }
        }
    }
    let end = speech_end_ms.max(from);
    spread_words(&mut pending_words, from, end, &mut words);
    words
}

/// Removes the repetitions that nobody can have spoken in their time.
fn remove_repetitions(words: &mut Vec<RecognizedWord>) {
    let mut normalized: Vec<String> = words
        .iter()
        .map(|word| normalize_word(&word.text))
        .collect();
    while let Some(repetition) =
        hallucination::find_repetition(&normalized, |both| has_time_to_say(&words[both]))
    {
        normalized.drain(repetition.clone());
        words.drain(repetition);
    }
}

/// Returns the mean log-probability of the text tokens.
fn mean_logprob(tokens: &[DecodedToken]) -> f32 {
    let logprobs: Vec<f32> = tokens
        .iter()
        .filter_map(|token| match token {
            DecodedToken::Text { logprob, .. } => Some(*logprob),
            DecodedToken::Timestamp(_) => None,
        })
        .collect();
    logprobs.iter().sum::<f32>() / (logprobs.len().max(1)) as f32
}

/// Returns the number of spoken words in one written word: each digit of "88888" is one.
fn count_spoken_words(written: &str) -> usize {
    let digits = written.chars().filter(char::is_ascii_digit).count();
    digits.max(1)
}

/// Whether both rounds of a repetition can be spoken in their time, at the fastest rate of people.
fn has_time_to_say(words: &[RecognizedWord]) -> bool {
    let (Some(first), Some(last)) = (words.first(), words.last()) else {
        return true;
    };
    let letters: usize = words
        .iter()
        .map(|word| normalize_word(&word.text).chars().count())
        .sum();
    (last.end_ms - first.start_ms) as usize >= letters * REPETITION_LETTER_MS_MIN
}

/// Distributes the words between two timestamps over that time, in proportion to their lengths.
/// Leaves out notes about sounds.
fn spread_words(
    pending_words: &mut Vec<(Vec<u8>, f32)>,
    from: u32,
    to: u32,
    words: &mut Vec<RecognizedWord>,
) {
    let texts: Vec<(String, f32)> = pending_words
        .drain(..)
        .map(|(bytes, logprob)| (String::from_utf8_lossy(&bytes).trim().to_owned(), logprob))
        .filter(|(text, _)| !text.is_empty())
        .collect();
    let whole = texts
        .iter()
        .map(|(text, _)| text.as_str())
        .collect::<Vec<_>>()
        .join(" ");
    if hallucination::is_sound_note(&whole) {
        return;
    }
    let letters: usize = texts.iter().map(|(text, _)| text.chars().count()).sum();
    let span = to.saturating_sub(from) as usize;
    let mut passed = 0;
    for (text, logprob) in texts {
        let start_ms = from + (span * passed / letters.max(1)) as u32;
        passed += text.chars().count();
        let end_ms = from + (span * passed / letters.max(1)) as u32;
        words.push(RecognizedWord {
            text,
            start_ms,
            end_ms,
            confidence: logprob.exp().clamp(0.0, 1.0),
        });
    }
}

fn normalize_word(word: &str) -> String {
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

    const SIGNALS: DecodeSignals = DecodeSignals {
        no_speech: 0.0,
        english_only: true,
        had_loop: false,
    };

    /// The result of a pass over `ms` milliseconds, with one token per word and its confidence.
    fn decoded(words: &[(&str, f32)], ms: u32) -> DecodedText {
        let samples = vec![0.0; ms as usize * 16];
        let request = RecognizeRequest {
            samples: &samples,
            speech_end_ms: ms,
            effort: Effort::Accurate,
            language: None,
            cancelled: &AtomicBool::new(false),
        };
        let word = |&(word, confidence): &(&str, f32)| DecodedToken::Text {
            bytes: format!(" {word}").into_bytes(),
            logprob: confidence.ln(),
        };
        let mut tokens = vec![DecodedToken::Timestamp(0)];
        tokens.extend(words.iter().map(word));
        tokens.push(DecodedToken::Timestamp(ms));
        DecodedText::new(&tokens, SIGNALS, &request)
    }

    fn text(words: &str, ms: u32) -> String {
        let words: Vec<(&str, f32)> = words.split(' ').map(|word| (word, 0.9)).collect();
        decoded(&words, ms).into_hypothesis("en".to_owned()).text()
    }

    #[test]
    fn what_is_said_again_is_kept_where_there_is_time_for_it() {
        let twice = "four hours of steady work faced us all four hours of steady work faced us all \
                     and then a large size is hard to sell";
        for (said, ms) in [("no no no no", 900), ("0 0 0 0", 900), (twice, 6_000)] {
            assert_eq!(text(said, ms), said);
        }
        let once = "four hours of steady work faced us all and then a large size is hard to sell";
        assert_eq!(text(twice, 2_400), once, "a repetition without time");
    }

    #[test]
    fn what_comes_again_is_looked_at_again() {
        let repeats = |text: &str| {
            let words: Vec<(&str, f32)> = text.split(' ').map(|word| (word, 0.9)).collect();
            decoded(&words, 3_000).has_repetition()
        };
        for text in ["No, no.", "I will. I will come", "9 1 1"] {
            assert!(repeats(text), "{text}");
        }
        for text in ["No, I said no.", "It is 9 to 5 here", "hello"] {
            assert!(!repeats(text), "{text}");
        }
        let likely = |text: &str, confidence| {
            let words: Vec<(&str, f32)> = text.split(' ').map(|word| (word, confidence)).collect();
            decoded(&words, 3_000)
        };
        let short = likely("no no no", 0.9);
        assert!(likely("no no no no", 0.85).has_more_words_than(&short));
        assert!(
            !likely("no no no no", 0.5).has_more_words_than(&short),
            "a guess"
        );
        assert!(!likely("no no", 0.9).has_more_words_than(&short));
        let loop_only = likely("right right right right right right right right", 0.95);
        let whole = likely("right right right read it out", 0.6);
        assert!(
            whole.has_more_words_than(&loop_only),
            "a loop hides the rest"
        );
        assert!(!loop_only.has_more_words_than(&whole));
    }

    #[test]
    fn an_obscenity_that_the_model_is_unsure_of_is_not_shown() {
        let decoded = decoded(&[("I'm", 0.9), ("fucking", 0.42), ("healthy", 0.8)], 1_000);
        let hypothesis = decoded.into_hypothesis("en".to_owned());
        assert_eq!(hypothesis.text(), format!("I'm {UNCLEAR} healthy"));
        assert!(hypothesis.words[1].confidence < 0.1, "it must not settle");
    }

    #[test]
    fn each_digit_is_a_word_that_was_said() {
        assert_eq!(
            ["88888", "8-8-8", "hello,"].map(count_spoken_words),
            [5, 3, 1]
        );
    }

    #[test]
    fn digits_are_written_in_one_way() {
        assert_eq!(text("Four, one, 5, 5, please.", 2_000), "4 1 5 5, please.");
    }
}
