//! Interface of speech recognizers, and a scripted one, so that everything but the recognition can
//! be tested without a model.

use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;

/// Compute time that a hypothesis is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effort {
    /// For a partial: one fast pass.
    Partial,
    /// For a final that is late, or while other finals wait: a fast pass, and a second one if the
    /// result looks wrong.
    Fast,
    /// For any other final: the best result.
    Accurate,
}

/// Audio of one utterance, or of its beginning.
#[derive(Debug)]
pub struct RecognizeRequest<'a> {
    /// 16 kHz mono, −1 to 1.
    pub samples: &'a [f32],
    /// End of speech within `samples`, by the voice activity detector.
    pub speech_end_ms: u32,
    /// Compute time to spend.
    pub effort: Effort,
    /// ISO 639-1 code; `None` if the recognizer should detect the language.
    pub language: Option<&'a str>,
    /// Set by another thread when the result is no longer needed.
    pub cancelled: &'a AtomicBool,
}

/// A recognised word. Times count from the first sample of the request.
#[derive(Debug, Clone, PartialEq)]
pub struct RecognizedWord {
    /// The word with its punctuation, without surrounding spaces.
    pub text: String,
    /// Start of the word.
    pub start_ms: u32,
    /// End of the word.
    pub end_ms: u32,
    /// Probability of the word's least likely token, 0 to 1.
    pub confidence: f32,
}

/// Result of one request. Without words: no speech was recognised.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Hypothesis {
    /// In order of time.
    pub words: Vec<RecognizedWord>,
    /// ISO 639-1 code.
    pub language: String,
    /// Mean log-probability of the text's tokens; 0 is certain.
    pub mean_logprob: f32,
}

impl Hypothesis {
    /// Returns the words, separated by single spaces.
    pub fn text(&self) -> String {
        join_words(self.words.iter().map(|w| w.text.as_str()))
    }
}

/// Joins words with single spaces.
pub fn join_words<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for word in words {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
    }
    text
}

/// Reason that there is no hypothesis.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecognizeError {
    /// The request was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The recognizer failed; the speech of this request is lost.
    #[error("the recognizer failed: {0}")]
    Failed(String),
}

/// Recognises utterances, one at a time. Each worker thread owns one recognizer.
pub trait Recognizer: Send {
    /// Blocks until the result is there.
    fn recognize(&mut self, request: &RecognizeRequest<'_>) -> Result<Hypothesis, RecognizeError>;
}

/// Returns the lines of a script; after the last line, it counts from one, one word per second of
/// speech.
#[derive(Debug, Default)]
pub struct ScriptedRecognizer {
    lines: VecDeque<String>,
}

impl ScriptedRecognizer {
    /// Returns the first line for the first request, and so on.
    pub fn new<'a>(lines: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            lines: lines.into_iter().map(str::to_owned).collect(),
        }
    }
}

impl Recognizer for ScriptedRecognizer {
    fn recognize(&mut self, request: &RecognizeRequest<'_>) -> Result<Hypothesis, RecognizeError> {
        let line = self.lines.pop_front().unwrap_or_else(|| {
            let seconds = 1 + request.speech_end_ms / 1_000;
            join_words(
                (1..=seconds).map(|n| COUNTING_WORDS[(n as usize - 1) % COUNTING_WORDS.len()]),
            )
        });
        let texts: Vec<&str> = line.split_whitespace().collect();
        let step_ms = request.speech_end_ms / (texts.len() as u32).max(1);
        let words = texts.iter().zip(0u32..).map(|(text, n)| RecognizedWord {
            text: (*text).to_owned(),
            start_ms: n * step_ms,
            end_ms: (n + 1) * step_ms,
            confidence: 1.0,
        });
        Ok(Hypothesis {
            words: words.collect(),
            language: "en".to_owned(),
            mean_logprob: 0.0,
        })
    }
}

const COUNTING_WORDS: [&str; 10] = [
    "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
];
