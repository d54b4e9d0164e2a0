//! Finds the Pareto front of word error rate and speed. Pure: no I/O.

/// Returns for each point (share of wrong words, speed) whether no other point is at least as good in both
/// and better in one.
pub fn pareto_front(points: &[(f64, f64)]) -> Vec<bool> {
    let beats = |a: &(f64, f64), b: &(f64, f64)| a.0 <= b.0 && a.1 >= b.1 && a != b;
    let is_best = |way| !points.iter().any(|other| beats(other, way));
    points.iter().map(is_best).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dominated_point_is_not_on_the_front() {
        assert_eq!(
            pareto_front(&[
                (0.10, 5.0),
                (0.12, 20.0),
                (0.13, 15.0),
                (0.12, 18.0),
                (0.20, 50.0)
            ]),
            [true, true, false, false, true]
        );
        assert_eq!(pareto_front(&[(0.1, 5.0), (0.1, 5.0)]), [true, true]);
        assert_eq!(pareto_front(&[]), [] as [bool; 0]);
    }
}
