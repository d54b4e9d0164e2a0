//! The only file that reads the clock. All other code receives `now` as an argument, so that tests of ten
//! minutes of a call run in milliseconds and are deterministic.

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Returns the monotonic time.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that may ask"
)]
pub fn now() -> Instant {
    Instant::now()
}

/// Returns the time since 1970-01-01 UTC, for dates that people and Twilio read.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that may ask"
)]
pub fn unix_now() -> Duration {
    let now = SystemTime::now();
    #[cfg(test)]
    let now = test_offset::apply(now);
    now.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// An offset of this machine's clock, set by a test. It applies to the whole process, so such a test runs in
/// a process of its own.
#[cfg(test)]
pub(crate) mod test_offset {
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::time::{Duration, SystemTime};

    static OFFSET_SECONDS: AtomicI64 = AtomicI64::new(0);

    /// Sets the offset in seconds; a negative one sets the clock back.
    pub(crate) fn set(seconds: i64) {
        OFFSET_SECONDS.store(seconds, Ordering::SeqCst);
    }

    pub(super) fn apply(now: SystemTime) -> SystemTime {
        let seconds = OFFSET_SECONDS.load(Ordering::SeqCst);
        let time = Duration::from_secs(seconds.unsigned_abs());
        if seconds < 0 { now - time } else { now + time }
    }
}

/// The first millisecond of the year 1, in milliseconds since 1970.
const FIRST_MS: i64 = -62_135_596_800_000;

/// The last millisecond that is in the year 9999 in every time zone, in milliseconds since 1970.
const LAST_MS: i64 = 253_402_207_199_999;

/// A date and time in UTC with millisecond precision: RFC 3339 in JSON (`2026-11-25T09:30:00.250Z`),
/// milliseconds since 1970 in the database.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, format = DateTime)]
pub struct UtcTime(i64);

/// The error for a text that is not a date and time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a date and time such as 2026-11-25T09:30:00Z")]
pub struct UtcTimeError;

impl UtcTime {
    /// Converts milliseconds since 1970; values beyond the years 1 to 9999 are clamped.
    pub fn from_millis(ms: i64) -> Self {
        Self(ms.clamp(FIRST_MS, LAST_MS))
    }

    /// Returns the milliseconds since 1970.
    pub fn millis(self) -> i64 {
        self.0
    }

    /// Parses RFC 3339 (with any offset) or RFC 2822, as in Twilio's callbacks.
    pub fn parse(text: &str) -> Result<Self, UtcTimeError> {
        let rfc_3339 = text.parse::<Timestamp>().ok();
        let rfc_2822 = || {
            jiff::fmt::rfc2822::parse(text)
                .ok()
                .map(|at| at.timestamp())
        };
        let at = rfc_3339.or_else(rfc_2822).ok_or(UtcTimeError)?;
        Ok(Self::from_millis(at.as_millisecond()))
    }

    /// Formats the time as RFC 2822, as in Twilio's callbacks: `Wed, 25 Nov 2026 09:30:00 +0000`.
    pub fn to_rfc_2822(self) -> String {
        let at = Timestamp::from_millisecond(self.0).expect("from_millis keeps to the calendar");
        at.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
    }

    /// Returns the time `time` later, clamped to the end of the year 9999.
    #[must_use]
    pub fn plus(self, time: Duration) -> Self {
        let ms = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_add(ms))
    }

    /// Returns the time `time` earlier, clamped to the start of the year 1.
    #[must_use]
    pub fn minus(self, time: Duration) -> Self {
        let ms = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_sub(ms))
    }

    /// Returns the time since `earlier`; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0).max(0) as u64)
    }
}

impl fmt::Display for UtcTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = Timestamp::from_millisecond(self.0).expect("from_millis keeps to the calendar");
        write!(f, "{at:.3}")
    }
}

impl TryFrom<String> for UtcTime {
    type Error = UtcTimeError;

    fn try_from(text: String) -> Result<Self, UtcTimeError> {
        Self::parse(&text)
    }
}

impl From<UtcTime> for String {
    fn from(at: UtcTime) -> Self {
        at.to_string()
    }
}

/// Returns the current date and time.
pub fn utc_now() -> UtcTime {
    UtcTime::from_millis(unix_now().as_millis() as i64)
}

/// Detects that this machine's clock was set: the date then differs from the elapsed monotonic time. (A
/// suspended machine looks the same.)
#[derive(Debug, Clone, Copy)]
pub struct ClockWatch {
    date: UtcTime,
    at: Instant,
}

impl ClockWatch {
    /// Returns a watch that starts at this date and monotonic time.
    pub fn new(date: UtcTime, at: Instant) -> Self {
        Self { date, at }
    }

    /// Returns how far the date has advanced beyond the monotonic time since the last measurement.
    pub fn measure_jump(&mut self, date: UtcTime, at: Instant) -> Duration {
        let passed = at.saturating_duration_since(self.at);
        let ahead = date.since(self.date).saturating_sub(passed);
        *self = Self { date, at };
        ahead
    }
}

/// Waits until `deadline`; forever if it is `None`.
pub async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_reads_as_twilio_and_as_json_write_it() {
        let at = UtcTime::from_millis(1_795_341_600_250);
        assert_eq!(at.to_string(), "2026-11-22T10:00:00.250Z");
        assert_eq!(UtcTime::parse("2026-11-22T11:00:00.25+01:00"), Ok(at));
        let second = UtcTime::from_millis(1_795_341_600_000);
        assert_eq!(
            UtcTime::parse("Sun, 22 Nov 2026 10:00:00 +0000"),
            Ok(second)
        );
        assert_eq!(second.to_string(), "2026-11-22T10:00:00.000Z");
        assert_eq!(second.to_rfc_2822(), "Sun, 22 Nov 2026 10:00:00 +0000");
        for wrong in ["", "now", "2026-11-22", "2026-11-22T25:00:00Z"] {
            assert_eq!(UtcTime::parse(wrong), Err(UtcTimeError), "{wrong}");
        }
    }

    #[test]
    fn a_clock_that_is_set_forwards_is_noticed_once() {
        let (date, at) = (UtcTime::from_millis(1_795_341_600_000), now());
        let hour = Duration::from_hours(1);
        let mut watch = ClockWatch::new(date, at);
        assert_eq!(
            watch.measure_jump(date.plus(hour), at + hour),
            Duration::ZERO
        );
        assert_eq!(
            watch.measure_jump(date.plus(hour * 5), at + hour * 2),
            hour * 3
        );
        assert_eq!(
            watch.measure_jump(date.plus(hour * 6), at + hour * 3),
            Duration::ZERO
        );
        assert_eq!(
            watch.measure_jump(date, at + hour * 4),
            Duration::ZERO,
            "backwards"
        );
    }

    #[test]
    fn time_never_leaves_the_calendar() {
        let end = UtcTime::from_millis(i64::MAX);
        assert_eq!(end.plus(Duration::MAX), end);
        assert!(end.to_string().starts_with("9999-12-3"));
        let begin = UtcTime::from_millis(i64::MIN);
        assert_eq!(begin.minus(Duration::from_secs(1)), begin);
        assert_eq!(begin.since(end), Duration::ZERO);
    }
}
