//! Numbers that call for help somewhere. Pure: no I/O.
//!
//! A browser has no place that help could be sent to, and Twilio's Voice API for browsers does not
//! carry emergency calls unless an address is registered for the number
//! (<https://www.twilio.com/docs/voice/tutorials/emergency-calling-for-programmable-voice>). So they
//! are refused with words of their own, whoever dials them wherever: a traveller dials what he
//! knows from home.

use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Police, ambulance, fire brigade and the like, of every country
/// (<https://en.wikipedia.org/wiki/List_of_emergency_telephone_numbers>, and E.161 for 112 and 911),
/// and the lines for those who want to end their lives that have numbers like these. Where one of
/// them calls something else, it is a short number, which cannot be called either.
const NUMBERS: &str = "000 08 100 101 102 103 104 105 107 108 110 111 112 113 114 115 117 118 119 \
    120 122 123 125 127 128 129 130 131 132 133 140 141 144 150 155 156 158 160 165 166 170 171 \
    177 180 185 190 191 192 193 194 195 196 197 198 199 211 222 333 411 422 444 555 600 700 770 \
    777 811 888 900 901 902 903 911 912 917 919 922 933 940 955 988 990 991 992 993 994 995 996 \
    997 998 999 15 16 17 18 19 90 91 92 93 1122 1669 4444 7777 8888 9999 10111 10177 116123 \
    115115 116117";

static SET: LazyLock<BTreeSet<&str>> = LazyLock::new(|| NUMBERS.split_whitespace().collect());

/// The longest emergency number.
const DIGITS_MAX: usize = 6;

/// The longest country calling code.
const CALLING_CODE_DIGITS_MAX: usize = 3;

/// Whether somebody who dials `digits` wants help: bare, behind a digit for an outside line or
/// long distance, or (`is_international`) behind a country's calling code.
pub(super) fn is_emergency(digits: &str, is_international: bool) -> bool {
    let is_known = |digits: &str| digits.len() <= DIGITS_MAX && SET.contains(digits);
    if is_international {
        let codes = 1..=CALLING_CODE_DIGITS_MAX;
        return is_known(digits) || codes.filter_map(|code| digits.get(code..)).any(is_known);
    }
    let outside = digits.strip_prefix(['0', '1', '9']);
    is_known(digits) || outside.is_some_and(|digits| digits.len() >= 3 && is_known(digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_is_dialled_in_every_countrys_way() {
        for digits in [
            "112", "911", "999", "000", "110", "113", "119", "15", "17", "18", "100", "108", "190",
            "988", "9911", "0112", "1911", "116123",
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
