//! Segments of several tracks put in order of time while they settle. Pure: no I/O.

use std::collections::BTreeMap;

use crate::limits;
use crate::transcript::Segment;

/// Segments that wait until no earlier one can come.
#[derive(Debug, Default)]
pub struct Order {
    /// By beginning, then by arrival.
    held: BTreeMap<(u64, u64), Segment>,
    arrived: u64,
}

impl Order {
    /// Takes one that has settled. One that comes too late goes out next.
    pub fn push(&mut self, segment: Segment) {
        self.arrived += 1;
        self.held.insert((segment.start_ms, self.arrived), segment);
    }

    /// The next one, if it begins before `settled_ms`: nothing earlier than that comes any more.
    pub fn take(&mut self, settled_ms: u64) -> Option<Segment> {
        let first = self.held.first_entry()?;
        let is_due = first.key().0 < settled_ms;
        let is_over = self.held.len() > limits::SEGMENTS_HELD_MAX;
        (is_due || is_over).then(|| self.held.pop_first().map(|(_, segment)| segment))?
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

    fn starts(order: &mut Order, settled_ms: u64) -> Vec<u64> {
        std::iter::from_fn(|| order.take(settled_ms))
            .map(|segment| segment.start_ms)
            .collect()
    }

    #[test]
    fn a_short_word_of_the_other_party_comes_after_the_long_sentence_it_fell_into() {
        let mut order = Order::default();
        order.push(segment(4_000));
        assert!(starts(&mut order, 3_000).is_empty());
        order.push(segment(1_000));
        order.push(segment(9_000));
        assert_eq!(starts(&mut order, 5_000), [1_000, 4_000]);
        assert_eq!(starts(&mut order, u64::MAX), [9_000]);
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut order = Order::default();
        for n in 0..limits::SEGMENTS_HELD_MAX as u64 + 2 {
            order.push(segment(10 + n));
        }
        assert_eq!(starts(&mut order, 0), [10, 11]);
    }
}
