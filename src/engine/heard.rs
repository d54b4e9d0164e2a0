//! Tokens with times → words with times, and whether to believe them. Pure: no I/O.

use crate::audio;
use crate::engine::guard;
use crate::engine::guard::Evidence;
use crate::engine::recognizer::HeardWord;
use crate::engine::recognizer::Hypothesis;
use crate::engine::recognizer::Request;

/// Tokens allowed: this many, and as many for each second. Speech has about four a second.
const TOKENS_MIN: usize = 8;

/// A final with a lower mean log-probability is worth a second look.
const DOUBTFUL_LOGPROB: f32 = -1.0;

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

/// What one pass heard.
pub(super) struct Heard {
    words: Vec<HeardWord>,
    evidence: Evidence,
    looped: bool,
}

impl Heard {
    pub(super) fn new(pieces: &[Piece], no_speech: f32, request: &Request<'_>) -> Self {
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
        while let Some(echo) = guard::echo(&plain) {
            plain.drain(echo.clone());
            words.drain(echo);
        }
        let kept = guard::without_loop(&plain);
        let looped = kept < words.len();
        words.truncate(kept);
        let evidence = Evidence {
            mean_logprob: logprobs.iter().sum::<f32>() / (logprobs.len().max(1)) as f32,
            no_speech,
            seconds: request.samples.len() as f32 / audio::SPEECH_HZ as f32,
            words: words.len(),
        };
        Self {
            words,
            evidence,
            looped,
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
