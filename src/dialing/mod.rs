//! Rules and limits for calls: the numbers that may be called, and how often. They limit the telephone
//! bill that a stolen password can cause. Pure: no I/O; takes `now`.
//!
//! ```text
//!  typed text ─► emergency ─► numbering_plan ─► DialingPolicy ─► E.164 ─► DailyQuota ─► CallLimiter ─► call
//!                refused      region, kind      allowed?                  today?        now?
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
pub use policy::DialingPolicy;

use phonenumber::Metadata;

use crate::ids::E164;

/// Returns a number's country as an ISO 3166 alpha-2 code; `None` for a satellite network or a number without
/// a country.
pub fn country_of(number: &E164) -> Option<&'static str> {
    numbering_plan::region_of_number(number).map(Metadata::id)
}

/// Parses a number as a person with the number `home` writes it; without `home`, only with its country code.
/// `None` if no numbering plan contains it.
pub fn parse_number(text: &str, home: Option<&E164>) -> Option<E164> {
    let dialled = numbering_plan::DialledNumber::parse(text).filter(|dialled| dialled.is_clean)?;
    let number =
        numbering_plan::parse_number(&dialled, home.and_then(numbering_plan::region_of_number));
    Some(number?.e164)
}

/// Reason for refusing a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum DialError {
    /// Not a telephone number, or not in any numbering plan; short numbers too.
    #[error("the dialled number is not a telephone number")]
    BadNumber,
    /// The number's country is not allowed.
    #[error("the number's country is not allowed")]
    CountryNotAllowed,
    /// Premium, shared cost, satellite and similar numbers.
    #[error("the number is a special one, which costs more")]
    SpecialNumber,
    /// An emergency number of any country.
    #[error("emergency numbers cannot be called")]
    EmergencyNumber,
    /// The server has reached its number of concurrent calls.
    #[error("the limit of concurrent calls is reached")]
    TooManyCalls,
    /// The user has reached their number of concurrent calls.
    #[error("the user's limit of concurrent calls is reached")]
    TooManyCallsOfUser,
    /// The user, or the server, started too many calls within a minute.
    #[error("too many calls were started within a minute")]
    TooOften,
    /// The user, or the server, made too many calls within a day.
    #[error("too many calls were made within a day")]
    TooManyToday,
    /// The user's calls, or the server's, have used up the minutes of a day.
    #[error("the minutes of a day are used up")]
    TooLongToday,
}

impl DialError {
    /// Returns the code for logs and for a call's record.
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

    /// Returns the sentence that is read to the caller.
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
