//! Finds how much can be borne: twice as much each time until it is too much, then between.
//! Pure: no I/O.

/// Steps between the most that was borne and the least that was not become no finer than this
/// share of the former.
const FINENESS: f64 = 0.1;

/// A search for the most that is borne.
#[derive(Debug, Clone)]
pub struct Knee {
    first: usize,
    most: usize,
    borne: Option<usize>,
    too_many: Option<usize>,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Try this many.
    Try(usize),
    /// It is found.
    Done,
}

impl Knee {
    /// Begins at `first` and never tries more than `most`.
    pub fn new(first: usize, most: usize) -> Self {
        Self {
            first: first.clamp(1, most.max(1)),
            most: most.max(1),
            borne: None,
            too_many: None,
        }
    }

    /// What to try next.
    pub fn next(&self) -> Next {
        let count = match (self.borne, self.too_many) {
            (None, None) => self.first,
            (Some(borne), None) => (2 * borne).min(self.most),
            (None, Some(too_many)) => too_many / 2,
            (Some(borne), Some(too_many)) => {
                let step = ((borne as f64 * FINENESS) as usize).max(1);
                if too_many - borne <= step {
                    return Next::Done;
                }
                borne.midpoint(too_many)
            }
        };
        if count == 0 || self.borne == Some(count) {
            return Next::Done;
        }
        Next::Try(count)
    }

    /// Whether so many were borne.
    pub fn tell(&mut self, count: usize, is_borne: bool) {
        if is_borne {
            self.borne = self.borne.max(Some(count));
        } else {
            self.too_many = Some(self.too_many.map_or(count, |least| least.min(count)));
        }
    }

    /// The most that were borne.
    pub fn borne(&self) -> Option<usize> {
        self.borne
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found where up to `limit` are borne, and how many were tried.
    fn found(first: usize, most: usize, limit: usize) -> (Option<usize>, Vec<usize>) {
        let mut knee = Knee::new(first, most);
        let mut tried = Vec::new();
        while let Next::Try(count) = knee.next() {
            tried.push(count);
            assert!(tried.len() < 30, "{tried:?}");
            knee.tell(count, count <= limit);
        }
        (knee.borne(), tried)
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
            let borne = found(8, 256, limit).0.unwrap();
            assert!(
                borne <= limit && borne as f64 >= limit as f64 * 0.9 - 1.0,
                "{borne} {limit}"
            );
        }
    }
}
