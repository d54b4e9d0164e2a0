//! Numbers that call for help somewhere. Pure: no I/O.
//!
//! A browser has no place that help could be sent to. So these numbers are refused, with words of
//! their own, whoever dials them wherever: a traveller dials what he knows from home.

use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Police, ambulance, fire brigade and the like, of every country that libphonenumber knows
/// (<https://github.com/google/libphonenumber/blob/master/resources/ShortNumberMetadata.xml>; the
/// crate leaves it out), and two lines for those who may not want to live. Where one of them calls
/// something else, it is a short number, which cannot be called either. See also
/// [`is_gabonese`].
const NUMBERS: &str = "01 02 03 13 14 15 16 17 18 19 90 91 92 93 94 000 001 002 003 011 019 022 033 050 060 065 \
    066 068 080 085 088 100 101 102 103 104 105 106 107 108 110 111 112 113 114 115 116 117 \
    118 119 120 122 123 124 125 127 128 129 130 131 132 133 140 144 150 151 152 153 154 155 \
    156 157 158 159 160 166 170 171 172 175 177 180 188 190 191 192 193 194 195 197 198 199 \
    211 311 333 355 511 555 666 819 888 901 902 903 911 912 913 917 919 922 933 939 955 977 \
    988 990 991 992 993 994 995 996 997 998 999 1122 1220 1298 1444 1669 1730 2611 9999 10111 \
    10177 90000 116123 124422 127799 201606 201917 202099 202914 320221 723141";

static SET: LazyLock<BTreeSet<&str>> = LazyLock::new(|| NUMBERS.split_whitespace().collect());

/// The longest emergency number; a whole number has more digits, behind a country's calling code
/// at least.
const DIGITS_MAX: usize = 6;

/// The longest country calling code.
const CALLING_CODE_DIGITS_MAX: usize = 3;

/// Whether somebody who dials `digits` wants help: bare, behind a digit for an outside line or
/// long distance, or (`is_international`) behind a country's calling code.
pub(super) fn is_emergency(digits: &str, is_international: bool) -> bool {
    if digits.len() > DIGITS_MAX {
        return false;
    }
    let is_known = |digits: &str| SET.contains(digits) || is_gabonese(digits);
    if is_international {
        let mut rests = (0..=CALLING_CODE_DIGITS_MAX).filter_map(|code| digits.get(code..));
        return rests.any(is_known);
    }
    let behind_one = digits.strip_prefix(['0', '1', '9']);
    is_known(digits) || behind_one.is_some_and(|rest| rest.len() >= 3 && is_known(rest))
}

/// 1300 to 1399.
fn is_gabonese(digits: &str) -> bool {
    digits.len() == 4 && digits.starts_with("13")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_is_dialled_in_every_countrys_way() {
        for digits in [
            "112", "911", "999", "000", "110", "113", "119", "15", "17", "18", "100", "108", "190",
            "988", "9911", "0112", "1911", "1366", "116123",
        ] {
            assert!(is_emergency(digits, false), "{digits}");
        }
        for digits in ["1911", "44999", "49112", "358112", "61000", "112"] {
            assert!(is_emergency(digits, true), "+{digits}");
        }
    }

    #[test]
    fn a_subscriber_is_no_emergency() {
        for digits in [
            "14155550911",
            "4155550112",
            "02079460999",
            "9115550123",
            "5550112",
            "",
        ] {
            assert!(!is_emergency(digits, false), "{digits}");
            assert!(!is_emergency(digits, true), "+{digits}");
        }
    }
}
