//! Finds the largest value that is sustained: doubles it until it is too large, then bisects. Pure: no I/O.

/// Precision of the result: the search ends when the smallest failed value exceeds the largest sustained one
/// by at most this share of the latter.
const STEP_SHARE: f64 = 0.1;

/// A search for the largest sustained value.
#[derive(Debug, Clone)]
pub struct CapacitySearch {
    first: usize,
    most: usize,
    sustained_max: Option<usize>,
    failed_min: Option<usize>,
}

/// Next step of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStep {
    /// Try this value, then call [`CapacitySearch::record_result`].
    Try(usize),
    /// The search is complete.
    Done,
}

impl CapacitySearch {
    /// Creates a search that starts at `first` and tries no value above `most`.
    pub fn new(first: usize, most: usize) -> Self {
        Self {
            first: first.clamp(1, most.max(1)),
            most: most.max(1),
            sustained_max: None,
            failed_min: None,
        }
    }

    /// Returns the next step.
    pub fn next_step(&self) -> NextStep {
        let count = match (self.sustained_max, self.failed_min) {
            (None, None) => self.first,
            (Some(sustained_max), None) => (2 * sustained_max).min(self.most),
            (None, Some(failed_min)) => failed_min / 2,
            (Some(sustained_max), Some(failed_min)) => {
                let step = ((sustained_max as f64 * STEP_SHARE) as usize).max(1);
                if failed_min - sustained_max <= step {
                    return NextStep::Done;
                }
                sustained_max.midpoint(failed_min)
            }
        };
        if count == 0 || self.sustained_max == Some(count) {
            return NextStep::Done;
        }
        NextStep::Try(count)
    }

    /// Records whether `count` was sustained.
    pub fn record_result(&mut self, count: usize, is_sustained: bool) {
        if is_sustained {
            self.sustained_max = self.sustained_max.max(Some(count));
        } else {
            self.failed_min = Some(self.failed_min.map_or(count, |least| least.min(count)));
        }
    }

    /// Returns the largest value that was sustained; `None` before there is one.
    pub fn sustained_max(&self) -> Option<usize> {
        self.sustained_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches where values up to `limit` are sustained; returns the result and the values that were tried.
    fn found(first: usize, most: usize, limit: usize) -> (Option<usize>, Vec<usize>) {
        let mut search = CapacitySearch::new(first, most);
        let mut tried = Vec::new();
        while let NextStep::Try(count) = search.next_step() {
            tried.push(count);
            assert!(tried.len() < 30, "{tried:?}");
            search.record_result(count, count <= limit);
        }
        (search.sustained_max(), tried)
    }

    #[test]
    fn it_doubles_then_halves_what_is_between() {
        assert_eq!(found(8, 256, 21), (Some(20), vec![8, 16, 32, 24, 20, 22]));
        assert_eq!(found(8, 256, 5).0, Some(5));
    }

    #[test]
    fn it_knows_when_to_stop() {
        assert_eq!(found(8, 20, 100), (Some(20), vec![8, 16, 20]));
        assert_eq!(found(4, 20, 0), (None, vec![4, 2, 1]));
        assert_eq!(found(50, 20, 100), (Some(20), vec![20]));
    }

    #[test]
    fn the_most_is_found_to_a_tenth() {
        for limit in 1..200 {
            let sustained_max = found(8, 256, limit).0.unwrap();
            assert!(
                sustained_max <= limit && sustained_max as f64 >= limit as f64 * 0.9 - 1.0,
                "{sustained_max} {limit}"
            );
        }
    }
}
