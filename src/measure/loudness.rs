//! Words that were left out, by how loud they were said. Pure: no I/O, no state but its sums.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::measure::wer::Errors;

/// Width of one level in dB.
const STEP_DB: f64 = 6.0;

/// What was left out, level by level.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Loudness {
    /// From the lower end of each level, in dB of full scale.
    levels: BTreeMap<i64, Level>,
}

/// What was said at one level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Level {
    /// Recordings.
    pub files: u64,
    /// Their words.
    pub errors: Errors,
}

impl Loudness {
    /// Takes one recording in, whose speech is as loud as `db`.
    pub fn add(&mut self, db: f64, errors: Errors) {
        let from = (db / STEP_DB).floor() * STEP_DB;
        let level = self.levels.entry(from as i64).or_default();
        level.files += 1;
        level.errors += errors;
    }

    /// A line for each level, the loudest first; no lines without recordings.
    pub fn lines(&self) -> Vec<String> {
        let line = |(from, level): (&i64, &Level)| {
            let errors = level.errors;
            let to = from + STEP_DB as i64;
            let rate = 100.0 * errors.rate().unwrap_or(0.0);
            format!(
                "{from:>4} to {to:>4} dB {:>6} {:>6} {:>8} {rate:>7.1} %",
                level.files,
                errors.reference_words(),
                errors.deletions
            )
        };
        self.levels.iter().rev().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_out_is_told_level_by_level() {
        let errors = |hits, deletions| Errors {
            hits,
            deletions,
            ..Errors::default()
        };
        let mut loudness = Loudness::default();
        loudness.add(-22.3, errors(10, 0));
        loudness.add(-19.0, errors(8, 2));
        loudness.add(-48.0, errors(1, 9));
        let lines = loudness.lines();
        assert_eq!(lines.len(), 2);
        assert!(
            lines[0].starts_with(" -24 to  -18 dB      2     20        2"),
            "{lines:?}"
        );
        assert!(
            lines[1].starts_with(" -48 to  -42 dB      1     10        9"),
            "{lines:?}"
        );
        assert!(Loudness::default().lines().is_empty());
    }
}
