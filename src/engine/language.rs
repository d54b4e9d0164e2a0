//! Whether somebody speaks another language than the engine writes down. Pure: no I/O.
//!
//! A model of one language, or one that is told to hear one, makes fluent nonsense of another, and is
//! unsure of nearly every word of it. One unsure final is a mumble; several in a row are another
//! language, or a line so bad that the words are not worth more.

use std::collections::BTreeMap;

use crate::transcript::LanguageDoubt;
use crate::transcript::Segment;
use crate::transcript::Speaker;

/// A final whose words are less sure than this on average is unsure. With tiny.en, of 41 finals of
/// Spanish, French, Italian, Russian and German 37 are, and of 121 English ones (bank calls, prompts) 7.
const UNSURE_CONFIDENCE_MAX: f32 = 0.45;

/// A final whose words are at least this sure ends all doubt. What lies between ends none. None of the
/// foreign finals is, and 106 of the English ones are.
const SURE_CONFIDENCE_MIN: f32 = 0.6;

/// Unsure finals without a sure one between them that make a doubt. Each of the five languages is told
/// after three or four finals, and so is an English call of 20 finals in 1 of 400 (finals drawn at
/// random from the same).
const UNSURE_FINALS_MIN: u32 = 3;

/// What the words of a call's parties say of their language.
#[derive(Debug)]
pub struct LanguageMonitor {
    /// ISO 639-1 code of the language that is written down.
    expected: String,
    parties: BTreeMap<Speaker, PartyState>,
}

#[derive(Debug, Clone, Copy, Default)]
struct PartyState {
    unsure_in_a_row: u32,
    is_doubted: bool,
}

impl LanguageMonitor {
    /// Nobody is doubted yet.
    pub fn new(expected: String) -> Self {
        Self {
            expected,
            parties: BTreeMap::new(),
        }
    }

    /// Takes the next final; gives all doubts if they are others now.
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
