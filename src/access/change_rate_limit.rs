//! Rate limit of each user's changes: a person clicks, a runaway program does not stop. Each change
//! costs a database write, and often a request to Twilio. Pure: no I/O; takes `now`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::ids::UserId;
use crate::limits;

/// A change exceeded the user's rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many changes in a short time: try again in {} seconds", wait.as_secs() + 1)]
pub struct ChangeRateExceeded {
    /// Time until the next change is allowed.
    pub wait: Duration,
}

/// Counts each user's changes: a burst of [`limits::CHANGE_BURST_MAX`], refilled by one every
/// [`limits::CHANGE_INTERVAL`].
#[derive(Debug, Default)]
pub struct ChangeRateLimiter {
    /// When each user's burst is full again. At most one entry for each user of the server.
    replenished_at: Mutex<BTreeMap<UserId, Instant>>,
}

impl ChangeRateLimiter {
    /// Counts a change by this user. Refused changes do not count.
    pub fn check_rate_limit(&self, user: UserId, now: Instant) -> Result<(), ChangeRateExceeded> {
        // Entries are inserted and removed whole, so a panic of another holder leaves the value
        // consistent.
        let mut users = self
            .replenished_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        users.retain(|_, replenished_at| *replenished_at > now);
        let begun = users.get(&user).copied().unwrap_or(now);
        let replenished_at = begun + limits::CHANGE_INTERVAL;
        let allowance = limits::CHANGE_INTERVAL * limits::CHANGE_BURST_MAX;
        let wait = replenished_at
            .saturating_duration_since(now)
            .saturating_sub(allowance);
        if !wait.is_zero() {
            return Err(ChangeRateExceeded { wait });
        }
        users.insert(user, replenished_at);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const ADA: UserId = UserId(1);

    #[test]
    fn a_user_makes_so_many_changes_in_a_row_and_then_one_at_a_time() {
        let (limiter, now) = (ChangeRateLimiter::default(), clock::now());
        for _ in 0..limits::CHANGE_BURST_MAX {
            assert_eq!(limiter.check_rate_limit(ADA, now), Ok(()));
        }
        let wait = limits::CHANGE_INTERVAL;
        assert_eq!(
            limiter.check_rate_limit(ADA, now),
            Err(ChangeRateExceeded { wait })
        );
        assert_eq!(
            limiter.check_rate_limit(UserId(2), now),
            Ok(()),
            "another user"
        );
        assert_eq!(limiter.check_rate_limit(ADA, now + wait), Ok(()));
        assert_eq!(
            limiter.check_rate_limit(ADA, now + wait),
            Err(ChangeRateExceeded { wait })
        );
        let later = now + wait * (limits::CHANGE_BURST_MAX + 1);
        for _ in 0..limits::CHANGE_BURST_MAX {
            assert_eq!(limiter.check_rate_limit(ADA, later), Ok(()));
        }
        assert!(limiter.check_rate_limit(ADA, later).is_err());
    }

    #[test]
    fn nobody_is_remembered_for_longer_than_it_matters() {
        let (limiter, now) = (ChangeRateLimiter::default(), clock::now());
        for n in 0..100 {
            limiter.check_rate_limit(UserId(n), now).unwrap();
        }
        limiter
            .check_rate_limit(ADA, now + limits::CHANGE_INTERVAL)
            .unwrap();
        assert_eq!(limiter.replenished_at.lock().unwrap().len(), 1);
    }
}
