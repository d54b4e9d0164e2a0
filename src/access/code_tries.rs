//! How often codes of authenticator apps may be guessed: counted for each user, right or wrong, since
//! only who knows the password gets so far. Pure: no I/O; takes `now`.
//!
//! Three of a million codes are good at a time, so that at the pace of [`limits::CODE_EVERY`] who
//! guesses all day needs about three years. Recovery codes and passkeys cannot be guessed, and stay
//! open to a user whose tries somebody else uses up.

use std::collections::BTreeMap;
use std::time::Instant;

use super::throttle::TooSoon;
use crate::ids::UserId;
use crate::limits;

/// Counts tries.
#[derive(Debug, Default)]
pub struct CodeTries {
    /// Until when each user's tries count.
    until: BTreeMap<UserId, Instant>,
}

impl CodeTries {
    /// Counts a try.
    pub fn knock(&mut self, user: UserId, now: Instant) -> Result<(), TooSoon> {
        // Those that count no more; so that there are at most as many as users tried of late.
        self.until.retain(|_, until| *until > now);
        let until = self.until.get(&user).copied().unwrap_or(now);
        let ahead = until.saturating_duration_since(now);
        let most = limits::CODE_EVERY * (limits::CODES_MAX - 1);
        let wait = ahead.saturating_sub(most);
        if !wait.is_zero() {
            return Err(TooSoon { wait });
        }
        self.until.insert(user, until + limits::CODE_EVERY);
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
        let mut tries = CodeTries::default();
        let ada = UserId(1);
        for n in 0..limits::CODES_MAX {
            assert!(tries.knock(ada, start).is_ok(), "{n}");
        }
        let wait = tries.knock(ada, start).unwrap_err().wait;
        assert!(!wait.is_zero() && wait <= limits::CODE_EVERY, "{wait:?}");
        assert!(tries.knock(UserId(2), start).is_ok());
        assert!(tries.knock(ada, start + wait).is_ok());
        assert!(tries.knock(ada, start + wait).is_err());
        let later = start + limits::CODE_EVERY * (limits::CODES_MAX + 1);
        assert!(tries.knock(ada, later).is_ok());
        assert_eq!(tries.until.len(), 1, "old tries are remembered");
    }
}
