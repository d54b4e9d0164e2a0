//! Counts missed words by the loudness of speech. Pure: no I/O, no state except sums.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::eval::wer::WordErrors;

/// Width of one level in dB.
const LEVEL_WIDTH_DB: f64 = 6.0;

/// Word errors by level.
#[derive(Debug, Clone, Default, Serialize)]
pub struct LoudnessTable {
    /// Levels by their lower bound in dB of full scale.
    levels: BTreeMap<i64, LoudnessLevel>,
}

/// Recordings of one level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoudnessLevel {
    /// Number of recordings.
    pub files: u64,
    /// Word errors of the recordings.
    pub errors: WordErrors,
}

impl LoudnessTable {
    /// Adds a recording with its word errors; `db` is the loudness of its speech in dB of full scale.
    pub fn add_recording(&mut self, db: f64, errors: WordErrors) {
        let from = (db / LEVEL_WIDTH_DB).floor() * LEVEL_WIDTH_DB;
        let level = self.levels.entry(from as i64).or_default();
        level.files += 1;
        level.errors += errors;
    }

    /// Formats a row for each level, the loudest first; empty without recordings.
    pub fn format_rows(&self) -> Vec<String> {
        let line = |(from, level): (&i64, &LoudnessLevel)| {
            let errors = level.errors;
            let to = from + LEVEL_WIDTH_DB as i64;
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
    fn deletions_are_counted_by_level() {
        let errors = |hits, deletions| WordErrors {
            hits,
            deletions,
            ..WordErrors::default()
        };
        let mut loudness = LoudnessTable::default();
        loudness.add_recording(-22.3, errors(10, 0));
        loudness.add_recording(-19.0, errors(8, 2));
        loudness.add_recording(-48.0, errors(1, 9));
        let format_rows = loudness.format_rows();
        assert_eq!(format_rows.len(), 2);
        assert!(
            format_rows[0].starts_with(" -24 to  -18 dB      2     20        2"),
            "{format_rows:?}"
        );
        assert!(
            format_rows[1].starts_with(" -48 to  -42 dB      1     10        9"),
            "{format_rows:?}"
        );
        assert!(LoudnessTable::default().format_rows().is_empty());
    }
}
