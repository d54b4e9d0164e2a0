//! Detects a party that speaks another language than the engine transcribes. Pure: no I/O.
//!
//! A model of one language, or one that is set to a language, turns another language into fluent nonsense,
//! with low confidence in nearly every word. One unsure final is a mumble; several in a row are another
//! language, or a line so bad that the transcript is worth no more.

use std::collections::BTreeMap;

use crate::transcript::LanguageDoubt;
use crate::transcript::Segment;
use crate::transcript::Speaker;

/// Mean word confidence below which a final is unsure. With tiny.en, 37 of 41 finals of Spanish, French,
/// Italian, Russian and German are unsure, and 7 of 121 English ones (bank calls, prompts).
const UNSURE_CONFIDENCE_MAX: f32 = 0.45;

/// Mean word confidence at or above which a final ends a doubt. A final between the two bounds changes
/// nothing. No final of the foreign ones reaches it, and 106 of the English ones do.
const SURE_CONFIDENCE_MIN: f32 = 0.6;

/// Unsure finals without a sure one between them that raise a doubt. Each of the five languages is detected
/// after three or four finals; 1 of 400 English calls of 20 finals raises a doubt (finals drawn at random
/// from the same).
const UNSURE_FINALS_MIN: u32 = 3;

/// Tracks for each party of a call whether the finals suggest another language.
#[derive(Debug)]
pub struct LanguageMonitor {
    /// ISO 639-1 code of the language that is transcribed.
    expected: String,
    parties: BTreeMap<Speaker, PartyState>,
}

#[derive(Debug, Clone, Copy, Default)]
struct PartyState {
    unsure_in_a_row: u32,
    is_doubted: bool,
}

impl LanguageMonitor {
    /// Creates a monitor without doubts.
    pub fn new(expected: String) -> Self {
        Self {
            expected,
            parties: BTreeMap::new(),
        }
    }

    /// Takes the next final; returns all doubts if they have changed, and `None` otherwise.
    pub fn push(&mut self, segment: &Segment) -> Option<Vec<LanguageDoubt>> {
        if segment.words.is_empty() || segment.echo {
            return None;
        }
        let sum: f32 = segment.words.iter().map(|word| word.confidence).sum();
        let mean_confidence = sum / segment.words.len() as f32;
        let party = self.parties.entry(segment.speaker).or_default();
        if mean_confidence < UNSURE_CONFIDENCE_MAX {
            party.unsure_in_a_row += 1;
        } else if mean_confidence >= SURE_CONFIDENCE_MIN {
            party.unsure_in_a_row = 0;
        }
        let is_doubted = party.unsure_in_a_row >= UNSURE_FINALS_MIN;
        if is_doubted == party.is_doubted {
            return None;
        }
        party.is_doubted = is_doubted;
        let doubted = self.parties.iter().filter(|(_, party)| party.is_doubted);
        let doubt = |(speaker, _): (&Speaker, &PartyState)| LanguageDoubt {
            speaker: *speaker,
            expected: self.expected.clone(),
        };
        Some(doubted.map(doubt).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{SegmentId, Track};
    use crate::transcript::Word;

    fn said(speaker: Speaker, confidences: &[f32]) -> Segment {
        let words = confidences.iter().map(|&confidence| Word {
            text: "word".to_owned(),
            start_ms: 0,
            end_ms: 100,
            confidence,
        });
        Segment {
            id: SegmentId::new(1, Track::Inbound, 1),
            track: Track::Inbound,
            speaker,
            start_ms: 0,
            end_ms: 100,
            text: "word ".repeat(confidences.len()),
            words: words.collect(),
            language: "en".to_owned(),
            latency_ms: 0,
            transcribed: true,
            echo: false,
        }
    }

    fn doubted(doubts: Option<Vec<LanguageDoubt>>) -> Option<Vec<Speaker>> {
        doubts.map(|doubts| {
            assert!(doubts.iter().all(|doubt| doubt.expected == "en"));
            doubts.iter().map(|doubt| doubt.speaker).collect()
        })
    }

    #[test]
    fn several_unsure_finals_in_a_row_are_another_language_until_sure_words_come() {
        let customer = |confidences: &[f32]| said(Speaker::Customer, confidences);
        let mut monitor = LanguageMonitor::new("en".to_owned());
        let mut push = |segment: &Segment| doubted(monitor.push(segment));
        assert_eq!(push(&customer(&[0.2, 0.5])), None);
        assert_eq!(push(&customer(&[0.1])), None);
        assert_eq!(
            push(&said(Speaker::Agent, &[0.95; 4])),
            None,
            "another party"
        );
        assert_eq!(push(&customer(&[])), None);
        let doubt = Some(vec![Speaker::Customer]);
        assert_eq!(push(&customer(&[0.9, 0.1, 0.1])), doubt);
        assert_eq!(push(&customer(&[0.1])), None, "told already");
        assert_eq!(
            push(&customer(&[0.5, 0.6])),
            None,
            "neither sure nor unsure"
        );
        assert_eq!(push(&customer(&[0.9, 0.5])), Some(vec![]));
        assert_eq!(push(&customer(&[0.1])), None, "counted anew");
    }

    #[test]
    fn both_parties_can_be_doubted_and_an_echo_says_nothing_of_its_track_s_party() {
        let mut monitor = LanguageMonitor::new("en".to_owned());
        for _ in 0..UNSURE_FINALS_MIN {
            monitor.push(&said(Speaker::Agent, &[0.1]));
        }
        let mut echo = said(Speaker::Customer, &[0.1]);
        echo.echo = true;
        for _ in 0..2 * UNSURE_FINALS_MIN {
            assert_eq!(monitor.push(&echo), None);
        }
        let mut doubts = None;
        for _ in 0..UNSURE_FINALS_MIN {
            doubts = monitor.push(&said(Speaker::Customer, &[0.1]));
        }
        let both = vec![Speaker::Agent, Speaker::Customer];
        assert_eq!(doubted(doubts), Some(both));
    }
}
