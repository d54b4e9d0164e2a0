//! The only file that asks what time it is. Everything else takes `now` as an argument, so that
//! ten minutes of call run in milliseconds, and the same way every time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Monotonic now.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that may ask"
)]
pub fn now() -> Instant {
    Instant::now()
}

/// Seconds and more since 1970, for dates that people and Twilio read.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that may ask"
)]
pub fn unix_now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// Waits until `deadline`; for ever when there is none.
pub async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
