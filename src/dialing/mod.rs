//! Which numbers may be called, and how often: what stands between a stolen password and a
//! telephone bill. Pure: no I/O; takes `now`.
//!
//! ```text
//!  what was typed ─► emergency ─► numbering_plan ─► DialingPolicy ─► E.164 ─► DailyQuota ─► CallLimiter ─► the call
//!                    no such help whose             allowed?                  today?        room?
//! ```
//!
//! Every refusal has a code for the log and a sentence for the caller; neither holds the number.

mod call_limiter;
mod daily_quota;
mod emergency;
mod numbering_plan;
mod policy;

pub use call_limiter::{CallLimiter, CallLimits};
pub use daily_quota::{CountedCall, DAY, DailyQuota, DayLimits};
pub use policy::{DialingPolicy, PolicyError};

use phonenumber::Metadata;

use crate::ids::E164;

/// The country of a number, as ISO 3166 alpha-2 code; `None`: a satellite's, or no country's.
pub fn country_of(number: &E164) -> Option<&'static str> {
    numbering_plan::region_of_number(number).map(Metadata::id)
}

/// The number that someone whose own number is `home` writes so; without `home` with its country code
/// alone. `None`: it is no number of any plan.
pub fn parse_number(text: &str, home: Option<&E164>) -> Option<E164> {
    let dialled = numbering_plan::DialledNumber::parse(text).filter(|dialled| dialled.is_clean)?;
    let number =
        numbering_plan::parse_number(&dialled, home.and_then(numbering_plan::region_of_number));
    Some(number?.e164)
}

/// Why a call is not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum DialError {
    /// No telephone number, or none that any numbering plan knows; short numbers too.
    #[error("what was dialled is no telephone number")]
    BadNumber,
    /// The number's country is not among the allowed ones.
    #[error("the number's country is not allowed")]
    CountryNotAllowed,
    /// Premium, shared cost, satellite and the like.
    #[error("the number is of a special kind, which costs more")]
    SpecialNumber,
    /// An emergency number, of whatever country.
    #[error("emergency numbers cannot be called")]
    EmergencyNumber,
    /// The server carries as many calls as it may.
    #[error("as many calls as are allowed are going on")]
    TooManyCalls,
    /// The user has as many calls as one may have.
    #[error("the user has as many calls as are allowed")]
    TooManyCallsOfUser,
    /// The user, or the server, began too many calls within a minute.
    #[error("too many calls were begun within a minute")]
    TooOften,
    /// The user, or the server, made too many calls within a day.
    #[error("too many calls were made within a day")]
    TooManyToday,
    /// The user's calls, or the server's, lasted too long within a day.
    #[error("the calls of a day lasted as long as is allowed")]
    TooLongToday,
}

impl DialError {
    /// The word in logs and in a call's record.
    pub fn code(self) -> &'static str {
        match self {
            Self::BadNumber => "bad_number",
            Self::CountryNotAllowed => "country_not_allowed",
            Self::SpecialNumber => "special_number",
            Self::EmergencyNumber => "emergency_number",
            Self::TooManyCalls => "too_many_calls",
            Self::TooManyCallsOfUser => "too_many_calls_of_user",
            Self::TooOften => "too_often",
            Self::TooManyToday => "too_many_today",
            Self::TooLongToday => "too_long_today",
        }
    }

    /// What the caller hears.
    pub fn spoken_message(self) -> String {
        let sentence = match self {
            Self::BadNumber => "This is not a telephone number that can be called.",
            Self::CountryNotAllowed => "Calls to this country are not allowed from this phone.",
            Self::SpecialNumber => "Calls to numbers of this kind are not allowed from this phone.",
            Self::EmergencyNumber => {
                "This phone cannot reach emergency services. Please use another phone."
            }
            Self::TooManyCalls => "All lines are busy. Please try again later.",
            Self::TooManyCallsOfUser => {
                "You have other calls. Please end one of them, and try again."
            }
            Self::TooOften => "Too many calls were made just now. Please try again in a minute.",
            Self::TooManyToday => {
                "This phone has made as many calls as are allowed within a day. Please try again later."
            }
            Self::TooLongToday => {
                "This phone has called for as long as is allowed within a day. Please try again later."
            }
        };
        sentence.to_owned()
    }
}
