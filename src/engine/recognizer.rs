//! What the engine asks of a speech recogniser, and one that reads from a script, so that
//! everything but the words can be tested without a model.

use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;

/// How much work a hypothesis is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effort {
    /// For a partial: once, quickly.
    Partial,
    /// For a final while others wait: quickly, and again where the first try looks wrong.
    Fast,
    /// For a final on a box that has time: the best words there are.
    Accurate,
}

/// One utterance, or the beginning of one, to be put into words.
#[derive(Debug)]
pub struct RecognizeRequest<'a> {
    /// 16 kHz mono, −1 to 1.
    pub samples: &'a [f32],
    /// Where speech ends within `samples`, by the voice detector.
    pub speech_end_ms: u32,
    /// How hard to try.
    pub effort: Effort,
    /// ISO 639-1 code; `None` lets the recogniser detect it.
    pub language: Option<&'a str>,
    /// Set to true by others when nobody wants the answer any more.
    pub cancelled: &'a AtomicBool,
}

/// A word as it was heard; times from the first sample of the request.
#[derive(Debug, Clone, PartialEq)]
pub struct RecognizedWord {
    /// With its punctuation, without surrounding spaces.
    pub text: String,
    /// Where it begins.
    pub start_ms: u32,
    /// Where it ends.
    pub end_ms: u32,
    /// 0 to 1.
    pub confidence: f32,
}

/// What a recogniser heard in one request. No words: it heard no speech.
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
    /// The words with single spaces between them.
    pub fn text(&self) -> String {
        join_words(self.words.iter().map(|w| w.text.as_str()))
    }
}

/// Words with single spaces between them.
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

/// Why there is no hypothesis.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecognizeError {
    /// Nobody wants the answer any more.
    #[error("cancelled")]
    Cancelled,
    /// The recogniser itself failed; the words of this request are lost.
    #[error("the recogniser failed: {0}")]
    Failed(String),
}

/// Puts utterances into words, one at a time. Each worker thread owns one.
pub trait Recognizer: Send {
    /// Blocks until the words are there.
    fn recognize(&mut self, request: &RecognizeRequest<'_>) -> Result<Hypothesis, RecognizeError>;
}

/// Answers from a list; after its end, as many words as the request has seconds of speech.
#[derive(Debug, Default)]
pub struct ScriptedRecognizer {
    lines: VecDeque<String>,
}

impl ScriptedRecognizer {
    /// Answers the first request with the first line, and so on.
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
