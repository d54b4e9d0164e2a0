//! Byte ranges (RFC 9110, 14: <https://www.rfc-editor.org/rfc/rfc9110#section-14>). Pure: no I/O.
//!
//! Supports one range, as players request it. For several ranges, other units and malformed ranges,
//! the whole body is sent, as the RFC allows.

/// The requested part of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ByteRange {
    /// The whole body: 200.
    Whole,
    /// From one byte to another, both included: 206.
    Part {
        /// The first byte, from 0.
        first: u64,
        /// The last byte; within the body, and not before the first.
        last: u64,
    },
    /// The range starts after the end of the body: 416.
    Unsatisfiable,
}

/// Parses a `Range` header for a body of `length` bytes.
pub(super) fn parse_range(range: &str, length: u64) -> ByteRange {
    let Some((unit, set)) = range.split_once('=') else {
        return ByteRange::Whole;
    };
    let Some((first, last)) = set.trim().split_once('-') else {
        return ByteRange::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return ByteRange::Whole;
    }
    let end = length.saturating_sub(1);
    let (first, last) = match (parse_position(first), parse_position(last)) {
        (Some(first), None) if last.is_empty() => (first, end),
        (Some(first), Some(last)) if first <= last => (first, last.min(end)),
        (None, Some(count)) if first.is_empty() => {
            let first = length.saturating_sub(count);
            (if count == 0 { length } else { first }, end)
        }
        _ => return ByteRange::Whole,
    };
    if first >= length {
        return ByteRange::Unsatisfiable;
    }
    ByteRange::Part { first, last }
}

/// Parses a byte position. A number that exceeds `u64` counts as the largest.
fn parse_position(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_range_is_cut_to_the_body() {
        for (range, first, last) in [
            ("bytes=0-0", 0, 0),
            ("bytes=2-5", 2, 5),
            ("Bytes = 2-5", 2, 5),
            ("bytes=7-", 7, 9),
            ("bytes=7-10", 7, 9),
            ("bytes=7-99999999999999999999999", 7, 9),
            ("bytes=-3", 7, 9),
            ("bytes=-10", 0, 9),
            ("bytes=-99999999999999999999999", 0, 9),
        ] {
            assert_eq!(
                parse_range(range, 10),
                ByteRange::Part { first, last },
                "{range}"
            );
        }
    }

    #[test]
    fn what_is_beyond_the_end_is_not_there() {
        for range in [
            "bytes=10-",
            "bytes=10-12",
            "bytes=99999999999999999999999-",
            "bytes=-0",
        ] {
            assert_eq!(parse_range(range, 10), ByteRange::Unsatisfiable, "{range}");
        }
        for range in ["bytes=0-", "bytes=-5", "bytes=0-0"] {
            assert_eq!(
                parse_range(range, 0),
                ByteRange::Unsatisfiable,
                "{range} of nothing"
            );
        }
    }

    #[test]
    fn what_is_no_range_or_more_than_one_is_passed_over() {
        for range in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5",
            "bytes=5-2",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=1--2",
            "bytes=0-1,4-5",
            "samples=0-1",
        ] {
            assert_eq!(parse_range(range, 10), ByteRange::Whole, "{range}");
        }
    }

    proptest! {
        #[test]
        fn a_part_is_always_within_the_body(range in "(bytes=)?[-0-9, ]{0,12}|\\PC{0,20}", length in 0..2_000_u64) {
            if let ByteRange::Part { first, last } = parse_range(&range, length) {
                prop_assert!(first <= last && last < length);
            }
        }
    }
}
