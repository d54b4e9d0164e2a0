//! Orders the segments of several tracks by time while they become final. Pure: no I/O.

use std::collections::BTreeMap;

use crate::limits;
use crate::transcript::Segment;

/// Segments that wait until no earlier one can follow.
#[derive(Debug, Default)]
pub struct ReorderBuffer {
    /// By start time, then by order of arrival.
    segments: BTreeMap<(u64, u64), Segment>,
    arrived: u64,
}

impl ReorderBuffer {
    /// Adds a final segment. A segment that arrives too late is the next one out.
    pub fn push(&mut self, segment: Segment) {
        self.arrived += 1;
        self.segments
            .insert((segment.start_ms, self.arrived), segment);
    }

    /// Returns the next segment if it starts before `final_before_ms`, when no earlier one can follow, or if
    /// more than [`limits::REORDER_SEGMENTS_MAX`] segments wait.
    pub fn pop_due(&mut self, final_before_ms: u64) -> Option<Segment> {
        let first = self.segments.first_entry()?;
        let is_due = first.key().0 < final_before_ms;
        let is_over = self.segments.len() > limits::REORDER_SEGMENTS_MAX;
        (is_due || is_over).then(|| self.segments.pop_first().map(|(_, segment)| segment))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{SegmentId, Track};
    use crate::transcript::Speaker;

    fn segment(start_ms: u64) -> Segment {
        Segment {
            id: SegmentId::new(1, Track::Inbound, 1),
            track: Track::Inbound,
            speaker: Speaker::Agent,
            start_ms,
            end_ms: start_ms + 100,
            text: String::new(),
            words: vec![],
            language: "en".to_owned(),
            latency_ms: 0,
            transcribed: true,
            echo: false,
        }
    }

    fn starts(buffer: &mut ReorderBuffer, final_before_ms: u64) -> Vec<u64> {
        std::iter::from_fn(|| buffer.pop_due(final_before_ms))
            .map(|segment| segment.start_ms)
            .collect()
    }

    #[test]
    fn a_short_word_of_the_other_party_comes_after_the_long_sentence_it_fell_into() {
        let mut buffer = ReorderBuffer::default();
        buffer.push(segment(4_000));
        assert!(starts(&mut buffer, 3_000).is_empty());
        buffer.push(segment(1_000));
        buffer.push(segment(9_000));
        assert_eq!(starts(&mut buffer, 5_000), [1_000, 4_000]);
        assert_eq!(starts(&mut buffer, u64::MAX), [9_000]);
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut buffer = ReorderBuffer::default();
        for n in 0..limits::REORDER_SEGMENTS_MAX as u64 + 2 {
            buffer.push(segment(10 + n));
        }
        assert_eq!(starts(&mut buffer, 0), [10, 11]);
    }
}
