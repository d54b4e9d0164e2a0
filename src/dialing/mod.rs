//! Which numbers may be called, and how many calls at once. Pure: no I/O.
//!
//! ```text
//!   what was dialled ─► Policy::check ─► E164 ─► Gate::admit ─► a call
//!                            └─► Refusal ◄──────────┘
//! ```
//!
//! A phone that strangers could dial with pays for it: premium numbers, satellites and far
//! countries are how that is turned into money. So whatever is not allowed is refused, and the
//! limits hold whoever calls.

mod emergency;
mod gate;
mod numbers;
mod policy;

pub use self::gate::{Gate, Limits};
pub use self::numbers::{Country, Kind};
pub use self::policy::{Policy, PolicyError};

/// Why a call is not placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is no telephone number, or nobody can have it.
    #[error("what was dialled is no telephone number")]
    NotANumber,
    /// Help is called there, and this phone cannot call it.
    #[error("an emergency number was dialled")]
    Emergency,
    /// It works only on the network of one country or carrier.
    #[error("a short number was dialled")]
    ShortNumber,
    /// It would call itself.
    #[error("the caller ID itself was dialled")]
    OwnNumber,
    /// A kind of number that costs more, or reaches nobody.
    #[error("a {0} number was dialled, which the settings do not allow")]
    Kind(Kind),
    /// The settings do not name its country.
    #[error("a number in a country was dialled that the settings do not allow")]
    Country,
    /// The user has as many calls as one may have.
    #[error("the user has too many calls at once")]
    UserCalls,
    /// The server has as many calls as it may have.
    #[error("the server has too many calls at once")]
    ServerCalls,
    /// The user has begun as many calls in the last minute as one may begin.
    #[error("the user begins calls too fast")]
    UserRate,
    /// The server has begun as many calls in the last minute as it may begin.
    #[error("the server begins calls too fast")]
    ServerRate,
}

impl Refusal {
    /// Snake case, for logs and the call's record.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotANumber => "not_a_number",
            Self::Emergency => "emergency_number",
            Self::ShortNumber => "short_number",
            Self::OwnNumber => "own_number",
            Self::Kind(kind) => kind.refusal_code(),
            Self::Country => "country_not_allowed",
            Self::UserCalls => "too_many_calls_of_user",
            Self::ServerCalls => "too_many_calls",
            Self::UserRate => "calls_too_fast_of_user",
            Self::ServerRate => "calls_too_fast",
        }
    }

    /// What the caller hears. Says no digit of what was dialled.
    pub fn spoken(self) -> String {
        let what = match self {
            Self::NotANumber => {
                "What you dialled is not a telephone number. \
                 Dial plus, the country code, and the number."
            }
            Self::Emergency => {
                "This phone can't reach emergency services. Use another phone. \
                 Hang up and call for help from a mobile phone or a landline."
            }
            Self::ShortNumber => {
                "Short numbers can't be called from this phone. Dial the whole number."
            }
            Self::OwnNumber => "This is the number that you are calling from.",
            Self::Kind(kind) => {
                return format!("{} can't be called from this phone.", kind.spoken());
            }
            Self::Country => "Numbers in that country can't be called from this phone.",
            Self::UserCalls => "You have too many calls at once. End one, and try again.",
            Self::ServerCalls => "All lines are busy. Please try again in a few minutes.",
            Self::UserRate => "You are placing calls too fast. Please wait a minute.",
            Self::ServerRate => "Too many calls are being placed. Please wait a minute.",
        };
        what.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every refusal.
    fn refusals() -> Vec<Refusal> {
        let plain = [
            Refusal::NotANumber,
            Refusal::Emergency,
            Refusal::ShortNumber,
            Refusal::OwnNumber,
            Refusal::Country,
            Refusal::UserCalls,
            Refusal::ServerCalls,
            Refusal::UserRate,
            Refusal::ServerRate,
        ];
        let kinds = Kind::ALL.map(Refusal::Kind);
        plain.into_iter().chain(kinds).collect()
    }

    #[test]
    fn a_refusal_is_a_sentence_without_digits_and_a_code_of_its_own() {
        for refusal in refusals() {
            let spoken = refusal.spoken();
            assert!(spoken.ends_with('.'), "{spoken}");
            assert!(!spoken.contains(|c: char| c.is_ascii_digit()), "{spoken}");
            let code = refusal.code();
            assert!(
                code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{code}"
            );
        }
        let codes: BTreeSet<&str> = refusals().into_iter().map(Refusal::code).collect();
        assert_eq!(codes.len(), refusals().len());
    }

    #[test]
    fn who_dials_for_help_is_told_to_use_another_phone() {
        let spoken = Refusal::Emergency.spoken();
        assert!(
            spoken.starts_with("This phone can't reach emergency services. Use another phone.")
        );
    }
}
