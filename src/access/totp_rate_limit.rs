//! Rate limit of authenticator codes: counts each user's attempts, right or wrong, since only a
//! client that knows the password gets this far. Pure: no I/O; takes `now`.
//!
//! Three of a million codes are valid at a time, so that at one attempt every
//! [`limits::TOTP_ATTEMPT_INTERVAL`], a client that guesses all day needs about three years.
//! Recovery codes and passkeys cannot be guessed; a user can use them even while another client
//! exhausts the user's attempts.

use std::collections::BTreeMap;
use std::time::Instant;

use super::sign_in_rate_limit::RateLimitExceeded;
use crate::ids::UserId;
use crate::limits;

/// Counts attempts.
#[derive(Debug, Default)]
pub struct TotpRateLimiter {
    /// For each user, until when the attempts count.
    counts_until: BTreeMap<UserId, Instant>,
}

impl TotpRateLimiter {
    /// Counts an attempt; an error when the user's limit is exceeded.
    pub fn check_rate_limit(
        &mut self,
        user: UserId,
        now: Instant,
    ) -> Result<(), RateLimitExceeded> {
        // Drops expired entries, so that there are at most as many as users with recent attempts.
        self.counts_until
            .retain(|_, counts_until| *counts_until > now);
        let counts_until = self.counts_until.get(&user).copied().unwrap_or(now);
        let ahead = counts_until.saturating_duration_since(now);
        let most = limits::TOTP_ATTEMPT_INTERVAL * (limits::TOTP_ATTEMPTS_MAX - 1);
        let wait = ahead.saturating_sub(most);
        if !wait.is_zero() {
            return Err(RateLimitExceeded { wait });
        }
        self.counts_until
            .insert(user, counts_until + limits::TOTP_ATTEMPT_INTERVAL);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn a_user_s_codes_are_tried_a_few_times_and_then_at_a_slow_pace() {
        let start = clock::now();
        let mut limiter = TotpRateLimiter::default();
        let ada = UserId(1);
        for n in 0..limits::TOTP_ATTEMPTS_MAX {
            assert!(limiter.check_rate_limit(ada, start).is_ok(), "{n}");
        }
        let wait = limiter.check_rate_limit(ada, start).unwrap_err().wait;
        assert!(
            !wait.is_zero() && wait <= limits::TOTP_ATTEMPT_INTERVAL,
            "{wait:?}"
        );
        assert!(limiter.check_rate_limit(UserId(2), start).is_ok());
        assert!(limiter.check_rate_limit(ada, start + wait).is_ok());
        assert!(limiter.check_rate_limit(ada, start + wait).is_err());
        let later = start + limits::TOTP_ATTEMPT_INTERVAL * (limits::TOTP_ATTEMPTS_MAX + 1);
        assert!(limiter.check_rate_limit(ada, later).is_ok());
        assert_eq!(limiter.counts_until.len(), 1, "old tries are remembered");
    }
}
